"""Eager mode: does QAT help at 8 bits? Three seeds, against a float control.

After 20 batches of training: QAT, and the float network trained with the same batches at the same
rate, then quantized. Engine x86, a scale for each output channel, all test images.
Source: run with torch.ao.quantization of PyTorch 2.13.
"""

# %% load
import warnings

import numpy as np
import torch
from torch.ao.quantization import (
    convert,
    disable_observer,
    fuse_modules,
    fuse_modules_qat,
    get_default_qat_qconfig,
    get_default_qconfig,
    prepare,
    prepare_qat,
)

from handbook.data import fashion_mnist
from handbook.eager_example import load_eager_example, modules_to_fuse
from handbook.measure import accuracy
from handbook.qat import train
from handbook.running_example import predict

warnings.simplefilter("ignore")  # the deprecation notices that ptq_static.py names
torch.set_num_threads(1)  # more threads sum in another order, and training ends elsewhere
torch.backends.quantized.engine = "x86"
calibration_images = fashion_mnist("train")[0][:1000]
test_images, labels = fashion_mnist("test")


def percent(model):
    return accuracy(predict(model, test_images), labels).percent


# %% ptq
def ptq(model):
    fused = fuse_modules(model.eval(), modules_to_fuse(model))
    fused.qconfig = get_default_qconfig("x86")
    prepared = prepare(fused)
    predict(prepared, calibration_images)
    return convert(prepared)


# %% qat
def qat(seed):
    model = load_eager_example().train()
    fused = fuse_modules_qat(model, modules_to_fuse(model))
    fused.qconfig = get_default_qat_qconfig("x86")
    prepared = train(prepare_qat(fused), seed, rate=0.001, count=2560)
    return convert(prepared.apply(disable_observer))


# %% runs
scores = {"not trained, PTQ": [percent(ptq(load_eager_example()))]}
trained = [train(load_eager_example(), seed, rate=0.001, count=2560) for seed in range(3)]
scores["trained, float32"] = [percent(model) for model in trained]
scores["trained, then PTQ"] = [percent(ptq(model)) for model in trained]
scores["QAT, then converted"] = [percent(qat(seed)) for seed in range(3)]

# %% results
from handbook.record import record, table

rows = []
for run, values in scores.items():
    row = {"model": run, "mean %": round(float(np.mean(values)), 2)}
    rows.append(row | {"lowest to highest %": f"{min(values):.2f} to {max(values):.2f}"})
TRAINING = "training on another CPU ends elsewhere"
table("results", rows, tolerance={"mean %": 2, "lowest to highest %": 2}, because=TRAINING)
gain = rows[3]["mean %"] - rows[2]["mean %"]
record(gain=round(gain, 2), tolerance=2, because=TRAINING)
assert abs(gain) < 1
