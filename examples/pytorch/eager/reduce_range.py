"""Eager mode: why the defaults use 7 of 8 bits for activations (reduce_range).

Without VNNI, FBGEMM adds two products of 8-bit numbers in 16 bits, and saturates. FBGEMM is told to
use AVX2 only, as on such a CPU: one pair of products, and the whole network.
Source: pytorch/pytorch#44939; FBGEMM's src/Utils.cc for the environment variable.
"""

# %% load
import os

os.environ["FBGEMM_ENABLE_INSTRUCTIONS"] = "AVX2"  # before the first quantized layer

import warnings

import torch
from torch.ao.nn import quantized as nnq
from torch.ao.quantization import (
    HistogramObserver,
    QConfig,
    convert,
    default_per_channel_weight_observer,
    fuse_modules,
    prepare,
)

from handbook.data import fashion_mnist
from handbook.eager_example import load_eager_example, modules_to_fuse
from handbook.running_example import load_running_example, predict

warnings.simplefilter("ignore")  # the deprecation notices that ptq_static.py names
torch.backends.quantized.engine = "fbgemm"
calibration_images = fashion_mnist("train")[0][:1000]
test_images, labels = fashion_mnist("test")

# %% one_pair
layer = nnq.Linear(2, 1)  # two weights, and a bias that takes away all that fits into int16
weight = torch.quantize_per_tensor(torch.tensor([[71.0, 107.0]]), 1, 0, torch.qint8)
layer.set_weight_bias(weight, torch.tensor([-32767.0]))
layer.scale, layer.zero_point = 7.0, 0
x = torch.quantize_per_tensor(torch.tensor([[211.0, 171.0]]), 1, 0, torch.quint8)
above_16_bits = layer(x).dequantize().item()
print("exact:", 211 * 71 + 171 * 107 - 32767, "FBGEMM with AVX2:", above_16_bits)


# %% quantize
def quantized(reduce_range):
    model = load_eager_example()
    fused = fuse_modules(model, modules_to_fuse(model))
    activation = HistogramObserver.with_args(reduce_range=reduce_range)
    fused.qconfig = QConfig(activation, default_per_channel_weight_observer)
    prepared = prepare(fused)
    predict(prepared, calibration_images)
    return convert(prepared)


models = {"7 bits": quantized(reduce_range=True), "8 bits": quantized(reduce_range=False)}

# %% results
from handbook.measure import score
from handbook.record import record, table

float_logits = predict(load_running_example(), test_images)
rows = []
for bits, model in models.items():
    row = {"activations, fbgemm without VNNI": bits}
    rows.append(row | score(predict(model, test_images), labels, float_logits))
wide = {"accuracy %": 2, "95 % interval": 2, "same answer as float %": 2}
CPUS = "ranges follow float32 sums, which differ between CPUs"
table("results", rows, tolerance=wide, because=CPUS)
record(lost=round(rows[0]["accuracy %"] - rows[1]["accuracy %"], 1), tolerance=2, because=CPUS)
assert rows[0]["same answer as float %"] > 98 > rows[1]["same answer as float %"]
assert above_16_bits == 0
