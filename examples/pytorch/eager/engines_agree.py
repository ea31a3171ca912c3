"""Eager mode: how far apart the engines' outputs are.

One scheme for x86, fbgemm, onednn and qnnpack, so that only the kernels differ: the whole network,
2000 images, and each layer by itself, fed with the same integers.
Source: run with torch.ao.quantization; the x86 engine is pytorch/pytorch#83888.
"""

# %% load
import warnings

import torch
from torch.ao.quantization import convert, fuse_modules, get_default_qconfig, prepare

from handbook.data import fashion_mnist
from handbook.eager_example import load_eager_example, modules_to_fuse
from handbook.running_example import predict

warnings.simplefilter("ignore")  # the deprecation notices that ptq_static.py names
calibration_images = fashion_mnist("train")[0][:1000]
test_images = fashion_mnist("test")[0][:2000]


def quantized(engine, qconfig):
    torch.backends.quantized.engine = engine  # before convert: it packs the weights
    model = load_eager_example()
    fused = fuse_modules(model, modules_to_fuse(model))
    fused.qconfig = qconfig
    prepared = prepare(fused)
    predict(prepared, calibration_images)
    return convert(prepared)


# %% same_scheme
scheme = get_default_qconfig("fbgemm")  # 7 bits for activations: no kernel saturates
engines = ("fbgemm", "x86", "onednn", "qnnpack")
models = {engine: quantized(engine, scheme) for engine in engines}
same = {}
for engine, model in models.items():
    torch.backends.quantized.engine = engine  # the addition asks for it at each call
    same[engine] = predict(model, test_images)

# %% each_layer
layers = [name for name, module in models["fbgemm"].named_modules() if hasattr(module, "weight")]
kept = {}
for name in layers:
    models["fbgemm"].get_submodule(name).register_forward_hook(
        lambda module, inputs, output, name=name: kept.update({name: (inputs, output.int_repr())})
    )
predict(models["fbgemm"], test_images[:500])
assert len(kept) == 11

# %% agreement
from handbook.measure import agreement, lsb_difference
from handbook.record import table

rows = []
for engine in ("x86", "onednn", "qnnpack"):
    a, b = same[engine], same["fbgemm"]
    row = {"against fbgemm": engine, "same answer %": agreement(a, b)}
    row["identical logits %"] = round(100 * float((a == b).mean()), 2)
    row["at most LSB"] = lsb_difference(a, b, models["fbgemm"].classifier.scale)
    with torch.inference_mode():  # each layer by itself, fed with the integers of fbgemm's model
        outputs = {n: models[engine].get_submodule(n)(*kept[n][0]).int_repr() for n in layers}
    identical = [(outputs[n] == kept[n][1]).float().mean().item() for n in layers]
    row["least identical layer %"] = round(100 * min(identical), 2)
    row["layers at most LSB"] = max(lsb_difference(outputs[n], kept[n][1]) for n in layers)
    rows.append(row)
ROUNDING = "kernels round differently, and which kernel runs depends on the CPU"
wide = {"same answer %": 2, "identical logits %": 60, "at most LSB": 4}
wide |= {"least identical layer %": 5, "layers at most LSB": 1}
table("agreement", rows, tolerance=wide, because=ROUNDING)
assert all(row["same answer %"] > 98 and row["layers at most LSB"] <= 1 for row in rows)
