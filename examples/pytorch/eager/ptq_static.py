"""Eager mode: post-training static quantization.

The refactored running example is fused, observed on 1000 training images, and converted to int8
modules: scale and zero point of each, accuracy, agreement with the float model, and size.
Source: the docstrings of torch.ao.quantization, PyTorch 2.13.
"""

# %% load
import warnings

import torch
from torch.ao.quantization import convert, fuse_modules, get_default_qconfig, prepare

from handbook.data import fashion_mnist
from handbook.eager_example import load_eager_example, modules_to_fuse
from handbook.running_example import load_running_example, predict

# Three deprecation notices, which the page explains.
warnings.filterwarnings("ignore", "torch.ao.quantization is deprecated")
warnings.filterwarnings("ignore", "Please use quant_min and quant_max")
warnings.filterwarnings("ignore", "torch.quantize_per_tensor, torch.quantize_per_channel")

calibration_images = fashion_mnist("train")[0][:1000]
test_images, labels = fashion_mnist("test")

# %% fuse
model = load_eager_example()  # in eval mode
fused = fuse_modules(model, modules_to_fuse(model))

# %% prepare
torch.backends.quantized.engine = "x86"  # PyTorch's default on such a CPU
fused.qconfig = get_default_qconfig("x86")
prepared = prepare(fused)
print("stem.conv:", prepared.stem.conv)
print("add:", prepared.add)

# %% calibrate
with torch.inference_mode():
    for batch in torch.from_numpy(calibration_images).split(100):
        prepared(batch)
print(prepared.quant.activation_post_process)

# %% convert
quantized = convert(prepared)
print(quantized.quant, quantized.separable1, quantized.add, quantized.dequant, sep="\n")

# %% parameters
from handbook.record import record, table

rows = []
for name, module in quantized.named_modules():
    if hasattr(module, "scale"):
        row = {
            "module": name,
            "class": type(module).__name__,
            "scale": round(float(module.scale), 5),
        }
        row["zero point"] = int(module.zero_point)
        is_layer = hasattr(module, "weight")
        scales = module.weight().q_per_channel_scales() if is_layer else None
        between = f"{scales.min():.5f} to {scales.max():.5f}" if is_layer else ""
        rows.append(row | {"scales of the weight": between})
drift = {"scale": 0.005, "zero point": 3, "scales of the weight": 2e-5}
FLOAT_SUMS = "a histogram's range follows float32 sums, which differ between CPUs"
table("parameters", rows, tolerance=drift, because=FLOAT_SUMS)
scales = quantized.separable1.depthwise.conv.weight().q_per_channel_scales()
record(factor=round((scales.max() / scales.min()).item()), tolerance=1, because=FLOAT_SUMS)
assert len([row for row in rows if row["scales of the weight"]]) == 11  # no layer stayed float

# %% integers
weight = quantized.stem.conv.weight()
print(weight.int_repr()[0, 0], weight.qscheme(), weight.q_per_channel_zero_points().unique())
assert weight.int_repr().dtype == torch.int8

# %% results
from handbook.measure import SCORE_TOLERANCE, file_size_kib, score
from handbook.record import artifact

float_logits = predict(load_running_example(), test_images)
runs = {"float32": (model, float_logits), "int8": (quantized, predict(quantized, test_images))}
rows = []
for run, (m, run_logits) in runs.items():
    path = artifact(f"pytorch/eager/ptq_static/{run}.pt")
    torch.save(m.state_dict(), path)
    size = round(file_size_kib(path))  # a few bytes depend on the file's name
    rows.append({"model": run} | score(run_logits, labels, float_logits) | {"size KiB": size})
table("results", rows, **SCORE_TOLERANCE)
assert rows[1]["accuracy %"] > rows[0]["accuracy %"] - 1
