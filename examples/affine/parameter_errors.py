"""Parameters that are refused, and parameters that should have been.

Zero points out of range, of another type or shape; scales of 0, below 0, and NaN; int8 read as
uint8.
Source: PyTorch 2.13, ONNX Runtime 1.32, NumPy.
"""

# %% load
import warnings

import numpy as np
import onnx
import onnxruntime
import torch

from handbook.record import expected

warnings.filterwarnings("ignore", "torch.quantize_per_tensor, torch.quantize_per_channel")
x = np.array([-1, 0, 1, 2], np.float32)


def run(graph, **inputs):
    model = onnx.parser.parse_model(f"""<ir_version: 10, opset_import: ["": 21]> g {graph}""")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # the exception says it all
    return onnxruntime.InferenceSession(model.SerializeToString(), options).run(None, inputs)[0]


# %% out_of_range
with expected(RuntimeError, "zero_point 128 is above upper bound"):
    torch.quantize_per_tensor(torch.from_numpy(x), 0.1, 128, torch.qint8)
with expected(RuntimeError, "must be between `quant_min` and `quant_max`"):
    torch.fake_quantize_per_tensor_affine(torch.from_numpy(x), 0.1, 128, -128, 127)

# %% zero_point_type
from onnxruntime.capi.onnxruntime_pybind11_state import Fail

dequantize = "(uint8[4] q) => (float[4] y) <float s = {0.1}, %s> { y = DequantizeLinear(q, s, z) }"
q = np.array([0, 3, 13, 255], np.uint8)
with expected(Fail, "bound to different types"):
    run(dequantize % "int8 z = {3}", q=q)

# %% zero_point_shape
with expected(Fail, "x_zero_point must be null or a scalar"):
    run(dequantize % "uint8[4] z = {3, 3, 3, 3}", q=q)

# %% no_zero_point
quantize = "(float[4] x, float s) => (uint8[4] y) <uint8 z = {3}> { y = QuantizeLinear(x, s%s) }"
print("zero point 3:", run(quantize % ", z", x=x, s=np.array(0.1, np.float32)))
print("none given:  ", run(quantize % "", x=x, s=np.array(0.1, np.float32)))

# %% scale
for scale in (0.1, 0.0, -0.1, float("nan")):
    q = torch.quantize_per_tensor(torch.from_numpy(x), scale, 3, torch.quint8).int_repr().numpy()
    onnx_q = run(quantize % ", z", x=x, s=np.array(scale, np.float32))
    print(f"{scale:4}  PyTorch {q}  ONNX Runtime {onnx_q}")
    if scale == 0.1:  # of the others, the integers of NaN and infinity depend on the CPU
        assert q.tolist() == onnx_q.tolist() == [0, 3, 13, 23]

# %% check
from handbook.reference import quantize_linear

with expected(ValueError, "a scale is finite and above 0"):
    quantize_linear(x, 0.0, 3)

# %% reinterpret
q = np.array([0, 73, 128, 255], np.uint8)
print("uint8, zero point 73:          ", (q.astype(np.int32) - 73) / 90)
print("its bytes as int8, zero point -55:", (q.view(np.int8).astype(np.int32) + 55) / 90)
shifted = (q.astype(np.int32) - 128).astype(np.int8)
print("shifted by 128, zero point -55:", (shifted.astype(np.int32) + 55) / 90)
assert np.array_equal(q ^ 128, shifted.view(np.uint8))  # the shift is a flip of the highest bit
