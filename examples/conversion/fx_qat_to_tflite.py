"""FX quantization aware training to TFLite, by way of PT2E and LiteRT Torch.

The trained fake-quantized FX model is converted with the parameters that it learned; the file is
compared with the PyTorch model on all 10 000 test images.
Source: LiteRT Torch (formerly ai_edge_torch) 0.10; handbook.export and handbook.to_tflite.
"""

# %% load
import copy
import logging
import warnings

import torch

from handbook.data import fashion_mnist
from handbook.record import artifact
from handbook.running_example import predict
from handbook.tflite import quiet

logging.disable(logging.WARNING)  # torchao mentions the GPU kernels that it does not find
warnings.simplefilter("ignore")  # deprecation notices of FX mode, and of its tensor types
from torch.ao.quantization.quantize_fx import convert_fx

from handbook import export, to_tflite
from handbook.fx_qat import load_fx_qat

with quiet():  # it imports TensorFlow
    from handbook.litert import litert_torch

from litert_torch.quantize.pt2e_quantizer import PT2EQuantizer, get_symmetric_quantization_config
from litert_torch.quantize.quant_config import QuantConfig

torch.set_num_threads(1)
torch.backends.quantized.engine = "onednn"
test_images, labels = fashion_mnist("test")
example_inputs = (torch.from_numpy(test_images[:2].copy()),)
any_batch = ({0: torch.export.Dim("batch")},)

# %% trained
trained = load_fx_qat(artifact("pytorch/export/fx_qat_to_pt2e_qat/trained.pt"))

# %% to_pt2e
exported = export.fx_prepared_to_pt2e(trained, example_inputs, any_batch)
rounded = to_tflite.round_biases(export.shift_to_int8(exported))

# %% convert
litert_config = get_symmetric_quantization_config(is_per_channel=True, is_dynamic=False)
quant_config = QuantConfig(pt2e_quantizer=PT2EQuantizer().set_global(litert_config))
path = artifact("conversion/fx_qat_to_tflite/int8.tflite")
nhwc = litert_torch.to_channel_last_io(to_tflite.unfold_weights(rounded), args=[0])
with quiet():
    example = (torch.zeros(1, 28, 28, 1),)
    litert_torch.convert(nhwc, example, quant_config=quant_config).export(str(path))

# %% int8_kernels
quantized = convert_fx(copy.deepcopy(trained))
layers = [layer for layer in quantized.modules() if hasattr(layer, "weight")]
for layer, bias in zip(layers, to_tflite.biases(rounded), strict=True):
    layer.set_weight_bias(layer.weight(), bias)

# %% results
from handbook.conversions import conversions, parity
from handbook.measure import has_int8_dot_product, latency, speedup
from handbook.record import record, table

scale = to_tflite.output_scale(path)
logits = to_tflite.run(path, test_images)
others = {
    "FX, int8 kernels, rounded biases": predict(quantized, test_images),
    "PT2E, rounded biases": predict(rounded, test_images),
    "PT2E, float biases": predict(exported, test_images),
    "FX, fake-quantized": predict(trained, test_images),
}
found = {name: parity(logits, other, labels, scale) for name, other in others.items()}
columns = ("identical outputs %", "largest difference", "same answer %")
rows = [{"compared with": name} | {c: found[name][c] for c in columns} for name in others]
wide = {"identical outputs %": 20, "largest difference": 2, "same answer %": 1}
table("results", rows, tolerance=wide, because="another CPU trains to other weights")
equal, total = to_tflite.equal_parameters(rounded, path)
record(parameters=total)
lsb = [int(row["largest difference"].split()[0]) for row in rows[:3]]
assert equal == total and lsb[1] <= 2 and rows[1]["same answer %"] >= 99.5
if has_int8_dot_product():  # without, onednn's sums saturate
    assert lsb[0] <= 2 and rows[0]["same answer %"] >= 99.5

# %% edge
float_path = artifact("conversion/pytorch_float_to_tflite_quantized/float32.tflite")
calls = [to_tflite.call(file, test_images[:1]) for file in (float_path, path)]
times = latency(dict(zip(("float32", "int8"), calls, strict=True)), rounds=300)
row = found["FX, int8 kernels, rounded biases"]
row |= {"equal parameters %": 100 * equal / total} | to_tflite.columns(path)
row |= {"speedup": speedup(times["float32"], times["int8"])}
conversions(
    {("PyTorch FX, QAT", "TFLite, int8", "PT2E, LiteRT Torch"): row},
    because="another CPU trains to other weights",
)
