"""PyTorch QAT to TFLite through an ONNX file, and directly.

The scales, zero points, weights and biases of the QDQ file become a PT2E model again, which LiteRT
Torch converts; both .tflite files are compared with PyTorch and with each other.
Source: our own measurement; the operators follow ONNX's QuantizeLinear and DequantizeLinear.
"""

# %% load
import logging
import warnings

import onnxruntime
import torch

from handbook.data import fashion_mnist
from handbook.record import artifact
from handbook.running_example import predict
from handbook.tflite import quiet

logging.disable(logging.WARNING)  # torchao mentions the GPU kernels that it does not find
warnings.simplefilter("ignore")  # deprecation notices of FX mode, and of its tensor types
from handbook import export, to_tflite
from handbook.fx_qat import load_fx_qat

with quiet():  # it imports TensorFlow
    from handbook.litert import litert_torch

from litert_torch.quantize.pt2e_quantizer import PT2EQuantizer, get_symmetric_quantization_config
from litert_torch.quantize.quant_config import QuantConfig

torch.set_num_threads(1)
test_images, labels = fashion_mnist("test")
example_inputs = (torch.from_numpy(test_images[:2].copy()),)
any_batch = ({0: torch.export.Dim("batch")},)
onnx_path = artifact("conversion/three_runtimes/int8.onnx")
direct_path = artifact("conversion/fx_qat_to_tflite/int8.tflite")
path = artifact("conversion/qat_through_onnx_to_tflite/int8.tflite")

# %% read
from handbook.onnx_to_pt2e import onnx_to_pt2e

uint8 = onnx_to_pt2e(onnx_path, example_inputs, any_batch)
int8 = export.shift_to_int8(uint8)
for name, parameters in list(export.activation_parameters(int8).items())[-3:]:
    print(name, parameters)

# %% convert
litert_config = get_symmetric_quantization_config(is_per_channel=True, is_dynamic=False)
quant_config = QuantConfig(pt2e_quantizer=PT2EQuantizer().set_global(litert_config))
nhwc = litert_torch.to_channel_last_io(to_tflite.unfold_weights(int8), args=[0])
with quiet():
    example = (torch.zeros(1, 28, 28, 1),)
    litert_torch.convert(nhwc, example, quant_config=quant_config).export(str(path))

# %% results
from handbook.conversions import conversions, parity
from handbook.record import record, table

trained = load_fx_qat(artifact("pytorch/export/fx_qat_to_pt2e_qat/trained.pt"))
learned = export.shift_to_int8(export.fx_prepared_to_pt2e(trained, example_inputs, any_batch))
learned = to_tflite.round_biases(learned)
pytorch_logits = predict(learned, test_images)
session = onnxruntime.InferenceSession(onnx_path)
onnx_logits = session.run(None, {"images": test_images})[0]
scale, rows, logits = to_tflite.output_scale(path), [], {}
for route, file in {"directly": direct_path, "through ONNX": path}.items():
    logits[route] = to_tflite.run(file, test_images)
    equal, total = to_tflite.equal_parameters(learned, file)
    row = {"route": route, "parameters that differ": total - equal}
    rows.append(row | parity(logits[route], pytorch_logits, labels, scale))
    assert equal == total and rows[-1]["same answer %"] >= 99.5
    assert int(rows[-1]["largest difference"].split()[0]) <= 2
wide = {"accuracy %": 2, "95 % interval": 2, "same answer %": 1}
wide |= {"identical outputs %": 20, "largest difference": 2}
BECAUSE = "another CPU trains to other weights"
table("results", rows, tolerance=wide, because=BECAUSE)
assert (logits["directly"] == logits["through ONNX"]).all()  # the same file, in effect
record(outputs=pytorch_logits.size, parameters=total)

# %% edges
file = {"equal parameters %": 100 * equal / total} | to_tflite.columns(path)
from_onnx = parity(logits["through ONNX"], onnx_logits, labels, scale) | file
whole = parity(logits["through ONNX"], pytorch_logits, labels, scale) | file
edges = {("ONNX, int8", "TFLite, int8", "rebuilt in PT2E, LiteRT Torch"): from_onnx}
edges["PyTorch FX, QAT", "TFLite, int8", "through ONNX"] = whole
conversions(edges, because=BECAUSE)
