"""An eager model with its observers, calibrated, to an FX model with the same parameters.

All scales and zero points of both are compared, then the outputs of the two int8 models on all
10 000 test images.
Source: torch.ao.quantization of PyTorch 2.13; handbook.eager_to_fx.
"""

# %% load
import copy
import json
import logging
import warnings

import torch

logging.disable(logging.WARNING)  # torchao mentions the GPU kernels that it does not find
from torch.ao.quantization import convert, fuse_modules, get_default_qconfig, prepare
from torch.ao.quantization.quantize_fx import convert_fx

from handbook.data import fashion_mnist
from handbook.eager_example import load_eager_example, modules_to_fuse
from handbook.eager_to_fx import eager_observed_to_fx
from handbook.running_example import predict

# Three deprecation notices, which the page on static quantization explains.
warnings.filterwarnings("ignore", "torch.ao.quantization is deprecated")
warnings.filterwarnings("ignore", "Please use quant_min and quant_max")
warnings.filterwarnings("ignore", "torch.quantize_per_tensor, torch.quantize_per_channel")
torch.set_num_threads(1)
torch.backends.quantized.engine = "x86"
calibration_images = fashion_mnist("train")[0][:1000]
test_images, labels = fashion_mnist("test")

# %% eager
model = load_eager_example()
fused = fuse_modules(model, modules_to_fuse(model))
fused.qconfig = get_default_qconfig("x86")
eager = prepare(fused)
predict(eager, calibration_images)
print(eager.branch1x1.conv)

# %% convert
example_inputs = (torch.from_numpy(test_images[:1]),)
prepared = eager_observed_to_fx(eager, example_inputs)
for node in list(prepared.graph.nodes)[-13:-1]:
    called = getattr(node.target, "__name__", node.target)
    print(f"{node.name:26} {called:26} of {', '.join(n.name for n in node.all_input_nodes)}")

# %% parameters
from handbook import export
from handbook.record import artifact, record, table

eager_int8, fx_int8 = convert(copy.deepcopy(eager)), convert_fx(copy.deepcopy(prepared))
in_eager = {n: m for n, m in eager_int8.named_modules() if hasattr(m, "scale")}
in_eager = {n: (float(m.scale), int(m.zero_point)) for n, m in in_eager.items()}
in_fx = {n: p[:2] for n, p in export.activation_parameters(prepared).items()}
rows = []
for node, (scale, zero_point) in in_fx.items():
    name = next(name for name, found in in_eager.items() if found == (scale, zero_point))
    row = {"FX node": node, "scale in FX": scale, "zero point in FX": zero_point}
    row |= {"eager module": name, "scale in eager mode": in_eager[name][0]}
    rows.append(row | {"zero point in eager mode": in_eager[name][1]})
assert {row["eager module"] for row in rows} == set(in_eager)  # each of them has arrived
wide = {f"scale in {mode}": 0.01 for mode in ("FX", "eager mode")}
wide |= {f"zero point in {mode}": 2 for mode in ("FX", "eager mode")}
table("parameters", rows, tolerance=wide, because="histograms depend on the float kernels")
artifact("pytorch/export/eager_observed_to_fx/parameters.json").write_text(json.dumps(rows))

# %% weights
layers = [m for m in eager_int8.modules() if hasattr(m, "weight")]
carried = [m for m in fx_int8.modules() if hasattr(m, "weight")]
for a, b in zip(layers, carried, strict=True):
    assert torch.equal(a.weight().int_repr(), b.weight().int_repr())
    assert torch.equal(a.weight().q_per_channel_scales(), b.weight().q_per_channel_scales())
record(modules=len(in_eager), layers=len(layers))
record(scales=sum(len(m.weight().q_per_channel_scales()) for m in layers))

# %% results
from handbook.conversions import conversions, parity

outputs, carried_outputs = predict(eager_int8, test_images), predict(fx_int8, test_images)
assert (outputs == carried_outputs).all()  # to the last bit
record(outputs=outputs.size)
row = parity(carried_outputs, outputs, labels, eager_int8.classifier.scale)
row["equal parameters %"] = 100.0
edge = ("PyTorch eager, observed", "PyTorch FX, observed", "eager_observed_to_fx")
conversions({edge: row}, because="histograms depend on the float kernels")
