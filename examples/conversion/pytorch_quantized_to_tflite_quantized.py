"""PyTorch quantized to TFLite quantized: an FX model, by way of PT2E and LiteRT Torch.

The calibrated FX model becomes a PT2E model, gets int8 activations, and is converted; three ways to
hand over weights and biases are compared with PyTorch on all 10 000 test images.
Source: LiteRT Torch (formerly ai_edge_torch) 0.10; handbook.export and handbook.to_tflite.
"""

# %% load
import copy
import logging
import warnings

import torch

from handbook.data import fashion_mnist
from handbook.record import artifact, record, table
from handbook.running_example import load_running_example, predict
from handbook.tflite import quiet

logging.disable(logging.WARNING)  # torchao mentions the GPU kernels that it does not find
warnings.simplefilter("ignore")  # deprecation notices of FX mode, and of its tensor types
from torch.ao.quantization import get_default_qconfig_mapping, quantize_fx

from handbook import export, to_tflite

with quiet():  # it imports TensorFlow
    from handbook.litert import litert_torch

from litert_torch.quantize.pt2e_quantizer import PT2EQuantizer, get_symmetric_quantization_config
from litert_torch.quantize.quant_config import QuantConfig

torch.set_num_threads(1)
torch.backends.quantized.engine = "onednn"
test_images, labels = fashion_mnist("test")
example_inputs = (torch.from_numpy(test_images[:2].copy()),)  # two: one would fix the batch at 1
any_batch = ({0: torch.export.Dim("batch")},)

# %% prepare
mapping = get_default_qconfig_mapping("onednn")  # all 8 bits
prepared = quantize_fx.prepare_fx(load_running_example(), mapping, example_inputs)
predict(prepared, fashion_mnist("train")[0][:1000])
quantized = quantize_fx.convert_fx(copy.deepcopy(prepared))  # PyTorch's int8 kernels

# %% to_pt2e
exported = export.fx_prepared_to_pt2e(prepared, example_inputs, any_batch)
exported = export.shift_to_int8(exported)
rounded = to_tflite.round_biases(exported)

# %% same_biases
layers = [layer for layer in quantized.modules() if hasattr(layer, "weight")]
for layer, bias in zip(layers, to_tflite.biases(rounded), strict=True):
    layer.set_weight_bias(layer.weight(), bias)  # PyTorch's int8 model gets them too

# %% convert
config = get_symmetric_quantization_config(is_per_channel=True, is_dynamic=False)
quant_config = QuantConfig(pt2e_quantizer=PT2EQuantizer().set_global(config))


def convert(model, name):
    path = artifact(f"conversion/pytorch_quantized_to_tflite_quantized/{name}.tflite")
    nhwc, example = litert_torch.to_channel_last_io(model, args=[0]), (torch.zeros(1, 28, 28, 1),)
    with quiet():
        litert_torch.convert(nhwc, example, quant_config=quant_config).export(str(path))
    return path


path = convert(to_tflite.unfold_weights(rounded), "int8")

# %% weights
original = quantize_fx._convert_to_reference_decomposed_fx(copy.deepcopy(prepared))
original = torch.export.export(original, example_inputs, dynamic_shapes=any_batch).module()

# %% results
from handbook.conversions import conversions, parity
from handbook.measure import has_int8_dot_product

models = {
    "original weights": (exported, convert(export.shift_to_int8(original), "original")),
    "int8 weights": (exported, convert(to_tflite.unfold_weights(exported), "weights")),
    "int8 weights, rounded biases": (rounded, path),
}
rows, scale = [], to_tflite.output_scale(path)
for name, (model, file) in models.items():
    equal, total = to_tflite.equal_parameters(model, file)
    row = {"handed over": name, "parameters that differ": total - equal}
    found = to_tflite.run(file, test_images)
    rows.append(row | parity(found, predict(model, test_images), labels, scale))
wide = {"parameters that differ": 100, "accuracy %": 1, "95 % interval": 1, "same answer %": 1}
wide |= {"identical outputs %": 20, "largest difference": 3}
BECAUSE = "kernels of another CPU round ties apart"
table("results", rows, tolerance=wide, because=BECAUSE)
record(parameters=total)
assert rows[0]["parameters that differ"] > 0 == rows[2]["parameters that differ"]
edge = parity(found, predict(quantized, test_images), labels, scale)  # against int8 kernels
for row in [rows[2], edge] if has_int8_dot_product() else rows[2:]:  # without, they saturate
    assert row["same answer %"] >= 99.5 and int(row["largest difference"].split()[0]) <= 2

# %% edge
edge |= {"equal parameters %": 100 * equal / total} | to_tflite.columns(path)
conversions({("PyTorch FX, observed", "TFLite, int8", "PT2E, LiteRT Torch"): edge}, BECAUSE)
