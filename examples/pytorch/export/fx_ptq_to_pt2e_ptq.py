"""FX static quantization to PT2E, with the same parameters and the same outputs.

The prepared, calibrated model is exported; all scales, zero points, weights and outputs of both are
compared on all 10 000 test images, and with the int8 kernels of FX mode.
Source: _convert_to_reference_decomposed_fx in torch.ao.quantization.quantize_fx, PyTorch 2.13.
"""

# %% load
import copy
import json
import logging
import warnings

import torch

logging.disable(logging.WARNING)  # torchao mentions the GPU kernels that it does not find
from torch.ao.quantization import get_default_qconfig_mapping
from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

from handbook import export
from handbook.data import fashion_mnist
from handbook.running_example import load_running_example, predict

# Deprecation notices, and one that only CPUs without VNNI give: the page explains them.
warnings.filterwarnings("ignore", "torch.ao.quantization is deprecated")
warnings.filterwarnings("ignore", "Please use quant_min and quant_max")
warnings.filterwarnings("ignore", "torch.quantize_per_tensor, torch.quantize_per_channel")
warnings.filterwarnings("ignore", "`isinstance.treespec, LeafSpec.` is deprecated")
warnings.filterwarnings("ignore", "Default qconfig of oneDNN backend")
torch.set_num_threads(1)
torch.backends.quantized.engine = "onednn"
calibration_images = fashion_mnist("train")[0][:1000]
test_images, labels = fashion_mnist("test")

# %% prepare
example_inputs = (torch.from_numpy(test_images[:2]),)  # two: one would fix the batch at 1
mapping = get_default_qconfig_mapping("onednn")
prepared = prepare_fx(load_running_example(), mapping, example_inputs)
predict(prepared, calibration_images)
quantized = convert_fx(copy.deepcopy(prepared))  # to compare with

# %% reference
from torch.ao.quantization.quantize_fx import _convert_to_reference_decomposed_fx

reference = _convert_to_reference_decomposed_fx(copy.deepcopy(prepared))

# %% export
from torchao.quantization.pt2e.constant_fold import constant_fold
from torchao.quantization.pt2e.quantize_pt2e import _quant_node_constraint

any_batch = ({0: torch.export.Dim("batch")},)
exported = torch.export.export(reference, example_inputs, dynamic_shapes=any_batch).module()
constant_fold(exported, _quant_node_constraint)  # the weights become int8 tensors
for node in list(exported.graph.nodes)[-6:-1]:
    print(f"{node.name:26} {node.target}")

# %% parameters
from handbook.record import artifact, record, table

fx, pt2e = export.activation_parameters(prepared), export.activation_parameters(exported)
assert list(fx.values()) == list(pt2e.values())  # all scales, zero points and limits
rows = [
    {"FX node": a, "scale in FX": fx[a][0], "zero point in FX": fx[a][1]}
    | {"PT2E node": b, "scale in PT2E": pt2e[b][0], "zero point in PT2E": pt2e[b][1]}
    for a, b in zip(fx, pt2e, strict=True)
]
wide = {f"scale in {mode}": 0.01 for mode in ("FX", "PT2E")}
wide |= {f"zero point in {mode}": 2 for mode in ("FX", "PT2E")}
table("parameters", rows, tolerance=wide, because="histograms depend on the float kernels")
artifact("pytorch/export/fx_ptq_to_pt2e_ptq/parameters.json").write_text(json.dumps([fx, pt2e]))

# %% weights
layers = [m for m in quantized.modules() if hasattr(m, "weight")]
weights = export.integer_weights(exported)
for layer, (integers, scale) in zip(layers, weights, strict=True):
    assert torch.equal(layer.weight().int_repr(), integers)
    assert torch.equal(layer.weight().q_per_channel_scales().float(), scale)
scales = sum(len(scale) for _, scale in weights)
record(activations=len(fx), layers=len(layers), scales=scales)

# %% results
from handbook.conversions import conversions, parity

scale = rows[-1]["scale in PT2E"]
outputs = {
    "FX, reference": predict(reference, test_images),
    "PT2E, uint8": predict(exported, test_images),
    "PT2E, shifted to int8": predict(export.shift_to_int8(exported), test_images),
    "FX, int8 kernels": predict(quantized, test_images),
}
found, rows = outputs["PT2E, uint8"], []
for name, other in outputs.items():
    rows.append({"model": name} | parity(other, found, labels, scale))
    assert name == "FX, int8 kernels" or (other == found).all()  # to the last bit
wide = {"accuracy %": 5, "95 % interval": 5, "same answer %": 8, "identical outputs %": 90}
SATURATE = "int8 kernels round ties apart, and saturate without VNNI"
table("results", rows, tolerance=wide | {"largest difference": 40}, because=SATURATE)
row = parity(found, outputs["FX, reference"], labels, scale) | {"equal parameters %": 100.0}
edge = ("PyTorch FX, observed", "PyTorch PT2E, int8", "decomposed reference, torch.export")
conversions({edge: row}, because="float kernels of other CPUs sum in another order")
