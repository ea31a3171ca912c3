"""PyTorch float to a quantized TFLite file: PT2E inside the conversion by LiteRT Torch.

The running example, with images in NHWC, is quantized by LiteRT's PT2EQuantizer and converted; the
file is compared with the converted PyTorch model, parameter by parameter, and with float.
Source: docs/pytorch_converter/README.md of LiteRT Torch (formerly ai_edge_torch), 0.10.
"""

# %% load
import logging
import warnings

import numpy as np
import torch

from handbook.data import fashion_mnist
from handbook.record import artifact, record
from handbook.running_example import load_running_example, predict
from handbook.tflite import quiet

logging.disable(logging.WARNING)  # torchao mentions the GPU kernels that it does not find
warnings.filterwarnings("ignore", "`isinstance.treespec, LeafSpec.` is deprecated")
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

with quiet():  # it imports TensorFlow
    from handbook.litert import litert_torch

from litert_torch.quantize.pt2e_quantizer import PT2EQuantizer, get_symmetric_quantization_config
from litert_torch.quantize.quant_config import QuantConfig

torch.set_num_threads(1)
calibration_images = fashion_mnist("train")[0][:1000]
test_images, labels = fashion_mnist("test")
folder = artifact("conversion/pytorch_float_to_tflite_quantized/int8.tflite").parent

# %% float
model = litert_torch.to_channel_last_io(load_running_example(), args=[0]).eval()
example_inputs = (torch.zeros(1, 28, 28, 1),)  # N, H, W, C
with quiet():  # TensorFlow's converter reports on its work
    litert_torch.convert(model, example_inputs).export(str(folder / "float32.tflite"))

# %% quantize
quantizer = PT2EQuantizer().set_global(
    get_symmetric_quantization_config(is_per_channel=True, is_dynamic=False)
)
any_batch = ({0: torch.export.Dim("batch")},)
two_images = (torch.zeros(2, 28, 28, 1),)  # one would fix the batch at 1
exported = torch.export.export(model, two_images, dynamic_shapes=(any_batch,), strict=True)
prepared = prepare_pt2e(exported.module(), quantizer)
predict(prepared, np.ascontiguousarray(calibration_images.transpose(0, 2, 3, 1)))
converted = convert_pt2e(prepared, fold_quantize=False)  # the weights stay float tensors

# %% convert
with quiet():
    quant_config = QuantConfig(pt2e_quantizer=quantizer)
    edge_model = litert_torch.convert(converted, example_inputs, quant_config=quant_config)
    edge_model.export(str(folder / "int8.tflite"))

# %% operators
from handbook.tflite import read_tflite

for op in read_tflite(folder / "int8.tflite")[-6:]:
    print(f"{op.name:16} scale {op.output.scale:.4f}, zero point {op.output.zero_point}")

# %% run
from handbook import to_tflite

float_logits = predict(load_running_example(), test_images)
converted_logits = predict(converted, np.ascontiguousarray(test_images.transpose(0, 2, 3, 1)))
logits = {n: to_tflite.run(folder / f"{n}.tflite", test_images) for n in ("float32", "int8")}
scale = to_tflite.output_scale(folder / "int8.tflite")
folded = convert_pt2e(prepared)  # once more, with int8 weights, to read them
equal, parameters = to_tflite.equal_parameters(folded, folder / "int8.tflite")
print(equal, "of", parameters, "scales, zero points and weights are equal")
record(parameters=parameters)
assert equal == parameters

# %% results
from handbook.conversions import conversions, parity
from handbook.measure import latency, speedup

calls = {name: to_tflite.call(folder / f"{name}.tflite", test_images[:1]) for name in logits}
times = latency(calls, rounds=300)
float_file = to_tflite.columns(folder / "float32.tflite")
int8_file = to_tflite.columns(folder / "int8.tflite")
int8_file |= {"speedup": speedup(times["float32"], times["int8"])}

as_float = parity(logits["float32"], float_logits, labels)
quantized = parity(converted_logits, float_logits, labels)
carried = parity(logits["int8"], converted_logits, labels, scale)
whole = parity(logits["int8"], float_logits, labels)
share = {"equal parameters %": 100 * equal / parameters}
rows = {
    ("PyTorch eager, float", "TFLite, float", "LiteRT Torch"): as_float | float_file,
    ("PyTorch eager, float", "PyTorch PT2E, int8", "PT2EQuantizer of LiteRT Torch"): quantized,
    ("PyTorch PT2E, int8", "TFLite, int8", "LiteRT Torch"): carried | share | int8_file,
    ("PyTorch eager, float", "TFLite, int8", "PT2E inside LiteRT Torch"): whole | int8_file,
}
conversions(rows, because="kernels of another CPU sum and round in another order")
assert as_float["same answer %"] > 99.9 and int8_file["float operators"] == 0
assert carried["same answer %"] >= 99.5 and whole["accuracy %"] > as_float["accuracy %"] - 1
