"""Eager mode: the engines x86, fbgemm, onednn and qnnpack compared.

Each with its own default scheme, and FBGEMM and QNNPACK with that of onednn too: accuracy on all
test images.
Source: torch.ao.quantization.get_default_qconfig; the x86 engine is pytorch/pytorch#83888.
"""

# %% load
import warnings

import torch
from torch.ao.quantization import convert, fuse_modules, get_default_qconfig, prepare

from handbook.data import fashion_mnist
from handbook.eager_example import load_eager_example, modules_to_fuse
from handbook.running_example import load_running_example, predict

warnings.simplefilter("ignore")  # the deprecation notices that ptq_static.py names
calibration_images = fashion_mnist("train")[0][:1000]
test_images, labels = fashion_mnist("test")
print("engines:", *sorted(torch.backends.quantized.supported_engines))


def quantized(engine, qconfig):
    torch.backends.quantized.engine = engine  # before convert: it packs the weights
    model = load_eager_example()
    fused = fuse_modules(model, modules_to_fuse(model))
    fused.qconfig = qconfig
    prepared = prepare(fused)
    predict(prepared, calibration_images)
    return convert(prepared)


# %% defaults
for engine in ("x86", "fbgemm", "onednn", "qnnpack"):
    activation, weight = get_default_qconfig(engine)
    observer = activation()
    print(f"{engine:8} activations {observer.quant_min} to {observer.quant_max},", weight().qscheme)

# %% own_defaults
own = {e: get_default_qconfig(e) for e in ("x86", "fbgemm", "onednn", "qnnpack")}
per_channel = own["onednn"]  # 8 bits for activations, a scale for each output channel
runs = {f"{engine}, its default": (engine, qconfig) for engine, qconfig in own.items()}
runs["fbgemm, with onednn's"] = ("fbgemm", per_channel)
runs["qnnpack, with onednn's"] = ("qnnpack", per_channel)
logits = {run: predict(quantized(*of), test_images) for run, of in runs.items()}

# %% results
from handbook.measure import cpu, score
from handbook.record import record, table

float_logits = predict(load_running_example(), test_images)
rows = [{"engine": run} | score(o, labels, float_logits) for run, o in logits.items()]
wide = {"accuracy %": 5, "95 % interval": 5, "same answer as float %": 10}
table("results", rows, tolerance=wide, because="8 bits saturate without VNNI: reduce_range.py")
of = {row["engine"]: row["accuracy %"] for row in rows}
record(
    lost=round(of["qnnpack, with onednn's"] - of["qnnpack, its default"], 1),
    tolerance=5,
    because="another CPU's kernels, near a collapse",
)
assert of["qnnpack, its default"] < 75 < 89 < of["qnnpack, with onednn's"]
if "avx512_vnni" in cpu().isa:  # FBGEMM knows no other instructions that sum in 32 bits
    assert abs(of["fbgemm, with onednn's"] - of["onednn, its default"]) < 0.5
assert min(of["x86, its default"], of["fbgemm, its default"]) > 89
