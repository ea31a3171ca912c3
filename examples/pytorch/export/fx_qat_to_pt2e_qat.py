"""FX quantization aware training to PT2E, with the same parameters and the same outputs.

The running example is trained with plain fake quantizers and exported; all scales, zero points,
weights and outputs are compared on all 10 000 test images, with the fake-quantized model too.
Source: _convert_to_reference_decomposed_fx in torch.ao.quantization.quantize_fx, PyTorch 2.13.
"""

# %% load
import copy
import json
import logging
import warnings

import torch

logging.disable(logging.WARNING)  # torchao mentions the GPU kernels that it does not find
from torch.ao.nn.intrinsic.qat import freeze_bn_stats
from torch.ao.quantization.fake_quantize import disable_observer
from torch.ao.quantization.quantize_fx import convert_fx, prepare_qat_fx

from handbook import export
from handbook.data import fashion_mnist
from handbook.fx_qat import qat_mapping
from handbook.qat import train
from handbook.record import artifact
from handbook.running_example import load_running_example, predict

warnings.simplefilter("ignore")  # deprecation notices of FX mode, and of its tensor types
torch.set_num_threads(1)
torch.backends.quantized.engine = "onednn"
test_images, labels = fashion_mnist("test")

# %% train
example_inputs = (torch.from_numpy(test_images[:2]),)  # two: one would fix the batch at 1
mapping = qat_mapping()  # plain FakeQuantize, all 8 bits, weights per channel
prepared = prepare_qat_fx(load_running_example().train(), mapping, example_inputs)
train(prepared, seed=0, rate=0.001, count=2560)  # 20 batches: ranges and statistics follow
torch.save(prepared.state_dict(), artifact("pytorch/export/fx_qat_to_pt2e_qat/training.pt"))

prepared.apply(disable_observer)
prepared.apply(freeze_bn_stats)
train(prepared, seed=1, rate=0.0002, count=1536)  # 12 batches of what is deployed
torch.save(prepared.state_dict(), artifact("pytorch/export/fx_qat_to_pt2e_qat/trained.pt"))

# %% export
from torch.ao.quantization.quantize_fx import _convert_to_reference_decomposed_fx

any_batch = ({0: torch.export.Dim("batch")},)
exported = export.fx_prepared_to_pt2e(prepared, example_inputs, any_batch)
reference = _convert_to_reference_decomposed_fx(copy.deepcopy(prepared))  # to compare with

# %% parameters
from handbook.record import record, table

fx, pt2e = export.activation_parameters(prepared), export.activation_parameters(exported)
assert list(fx.values()) == list(pt2e.values())  # all scales, zero points and limits
rows = [
    {"FX node": a, "scale in FX": fx[a][0], "zero point in FX": fx[a][1]}
    | {"PT2E node": b, "scale in PT2E": pt2e[b][0], "zero point in PT2E": pt2e[b][1]}
    for a, b in zip(fx, pt2e, strict=True)
]
wide = {f"scale in {mode}": 0.1 for mode in ("FX", "PT2E")}
wide |= {f"zero point in {mode}": 20 for mode in ("FX", "PT2E")}
ELSEWHERE = "training on another CPU ends elsewhere"
table("parameters", rows, tolerance=wide, because=ELSEWHERE)
artifact("pytorch/export/fx_qat_to_pt2e_qat/parameters.json").write_text(json.dumps([fx, pt2e]))

# %% weights
layers = [m for m in prepared.modules() if hasattr(m, "weight_fake_quant")]
for layer, (_, scale) in zip(layers, weights := export.integer_weights(exported), strict=True):
    assert torch.equal(layer.weight_fake_quant.calculate_qparams()[0], scale)  # as trained
quantized = convert_fx(copy.deepcopy(prepared))
converted = [m for m in quantized.modules() if hasattr(m, "weight")]
for layer, (integers, _) in zip(converted, weights, strict=True):
    assert torch.equal(layer.weight().int_repr(), integers)
record(activations=len(fx), scales=sum(len(scale) for _, scale in weights))

# %% results
from handbook.conversions import conversions, parity
from handbook.measure import has_int8_dot_product

step = rows[-1]["scale in PT2E"]
found = predict(exported, test_images)
outputs = {
    "FX, fake-quantized": predict(prepared, test_images),
    "FX, reference": predict(reference, test_images),
    "PT2E, uint8": found,
    "PT2E, shifted to int8": predict(export.shift_to_int8(exported), test_images),
    "FX, int8 kernels": predict(quantized, test_images),
}
rows = [{"model": name} | parity(y, found, labels, step) for name, y in outputs.items()]
wide = {"accuracy %": 2, "95 % interval": 2, "same answer %": 1, "identical outputs %": 20}
table("results", rows, tolerance=wide | {"largest difference": 2}, because=ELSEWHERE)
for name in ("FX, reference", "PT2E, shifted to int8"):
    assert (outputs[name] == found).all()  # to the last bit
assert rows[0]["same answer %"] > 99 and rows[0]["identical outputs %"] > 85
assert rows[4]["same answer %"] > 99 or not has_int8_dot_product()
edge = ("PyTorch FX, QAT", "PyTorch PT2E, int8", "decomposed reference, exported")
row = parity(found, outputs["FX, reference"], labels, step) | {"equal parameters %": 100.0}
conversions({edge: row}, because=ELSEWHERE)
