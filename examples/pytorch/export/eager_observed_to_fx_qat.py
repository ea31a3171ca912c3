"""An eager model in the middle of QAT to an FX model with the same fake quantizers.

The weights with their batch normalization, the learned ranges and the switches of the fake
quantizers arrive; the int8 models are equal on all 10 000 test images. Then both train on.
Source: torch.ao.quantization of PyTorch 2.13; handbook.eager_to_fx.
"""

# %% load
import copy
import logging
import warnings

import torch

logging.disable(logging.WARNING)  # torchao mentions the GPU kernels that it does not find
from torch.ao.quantization import (
    convert,
    disable_observer,
    fuse_modules_qat,
    get_default_qat_qconfig,
    prepare_qat,
)
from torch.ao.quantization.quantize_fx import convert_fx

from handbook.data import fashion_mnist
from handbook.eager_example import load_eager_example, modules_to_fuse
from handbook.eager_to_fx import eager_observed_to_fx
from handbook.qat import train
from handbook.running_example import predict

# Three deprecation notices, which the page on static quantization explains.
warnings.filterwarnings("ignore", "torch.ao.quantization is deprecated")
warnings.filterwarnings("ignore", "Please use quant_min and quant_max")
warnings.filterwarnings("ignore", "torch.quantize_per_tensor, torch.quantize_per_channel")
torch.set_num_threads(1)
torch.backends.quantized.engine = "x86"
test_images, labels = fashion_mnist("test")

# %% train
model = load_eager_example().train()
fused = fuse_modules_qat(model, modules_to_fuse(model))
fused.qconfig = get_default_qat_qconfig("x86")
eager = prepare_qat(fused)
train(eager, seed=0, rate=0.002, count=640).apply(disable_observer)

# %% convert
example_inputs = (torch.from_numpy(test_images[:1]),)
prepared = eager_observed_to_fx(eager, example_inputs)
layer = prepared.stem.conv
print(type(layer).__name__, layer.weight_fake_quant.scale[:4])
print(prepared.activation_post_process_1)

# %% results
from handbook.conversions import conversions, parity
from handbook.measure import agreement
from handbook.record import record, table


def int8(eager_model, fx_model):
    return predict(convert(eager_model), test_images), predict(convert_fx(fx_model), test_images)


before = copy.deepcopy(eager), copy.deepcopy(prepared)
pairs = {"fake-quantized": [predict(m, test_images) for m in (eager, prepared)]}
pairs["int8"] = int8(*before)
on = [train(copy.deepcopy(m), seed=1, rate=0.001, count=640) for m in (eager, prepared)]
pairs["both trained on, int8"] = int8(*on)
rows = []
for name, (in_eager, in_fx) in pairs.items():
    row = {"state": name, "same answer %": agreement(in_eager, in_fx)}
    row["identical outputs %"] = round(100 * float((in_eager == in_fx).mean()), 2)
    rows.append(row | {"largest difference": round(float(abs(in_eager - in_fx).max()), 3)})
assert (pairs["int8"][0] == pairs["int8"][1]).all()  # to the last bit
wide = {"same answer %": 4, "identical outputs %": 45, "largest difference": 2}
table("results", rows, tolerance=wide, because="training on another CPU ends elsewhere")
record(outputs=pairs["int8"][0].size)

# %% conversions
in_eager, in_fx = pairs["int8"]
scale = prepared.get_submodule(list(prepared.graph.nodes)[-2].target).scale.item()
row = parity(in_fx, in_eager, labels, scale) | {"equal parameters %": 100.0}
edge = ("PyTorch eager, QAT", "PyTorch FX, QAT", "eager_observed_to_fx")
conversions({edge: row}, because="training on another CPU ends elsewhere")
