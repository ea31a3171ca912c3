"""16 bits in ONNX Runtime's quantizer: what it refuses, and what it changes.

QOperator format, and an opset below 21.
Source: onnxruntime.quantization.quantize_static.
"""

# %% load
import logging

import onnx
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)

from handbook.data import fashion_mnist
from handbook.record import artifact, expected

float_path = artifact("conversion/pytorch_float_to_onnx_float/running_example.onnx")
path = artifact("affine/sixteen_bit_onnx_errors/model.onnx")
images = fashion_mnist("train")[0][:100]


class Reader(CalibrationDataReader):
    def __init__(self):
        self.batches = iter([{"images": images}])

    def get_next(self):
        return next(self.batches, None)


# %% qoperator
types = {"activation_type": QuantType.QInt16, "weight_type": QuantType.QInt8}
logging.getLogger().setLevel(logging.ERROR)
with expected(ValueError, "Only QuantFormat.QDQ supports 16-bit"):
    quantize_static(float_path, path, Reader(), quant_format=QuantFormat.QOperator, **types)

# %% opset
messages = []
handler = logging.Handler()
handler.emit = lambda entry: messages.append(entry.getMessage())
root = logging.getLogger()
kept, root.handlers = root.handlers, [handler]  # nothing to stderr: it is shown here
root.setLevel(logging.WARNING)
quantize_static(float_path, path, Reader(), **types)
root.handlers = kept
for model in (float_path, path):
    print("opset", onnx.load(model).opset_import[0].version)
print(next(message for message in messages if "opset" in message))
assert onnx.load(path).opset_import[0].version == 21

# %% bfloat16
import onnxruntime
from onnx import TensorProto, helper
from onnxruntime.capi.onnxruntime_pybind11_state import NotImplemented as NoKernel

a, b, y = (helper.make_tensor_value_info(n, TensorProto.BFLOAT16, [4, 4]) for n in "aby")
graph = helper.make_graph([helper.make_node("MatMul", "ab", "y")], "product", [a, b], [y])
product = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
with expected(NoKernel, "Could not find an implementation for MatMul"):
    onnxruntime.InferenceSession(product.SerializeToString())
