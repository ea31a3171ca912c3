"""Restricted or full range: what the integer -128 is good for.

Weights of the running example in [-127, 127] and in [-128, 127], the three scales that are in use,
and the one product of 8-bit integers that a pair of 16-bit sums cannot hold.
Source: gemmlowp's internal/kernel_msa.h for the product; torch.ao.quantization.
"""

# %% load
import numpy as np
import torch
from torch.fx.experimental.optimization import fuse

from handbook.running_example import load_running_example

model = fuse(load_running_example())  # folds each BatchNorm into its convolution
weights = [m.weight.detach().numpy() for m in model.modules() if hasattr(m, "weight")]

# %% pytorch
from torch.ao.quantization import default_per_channel_weight_observer

weight = weights[-1]
observer = default_per_channel_weight_observer()
observer(torch.from_numpy(weight))
scale = observer.calculate_qparams()[0].numpy()
largest = np.abs(weight).max(axis=1)
print("integers:", observer.quant_min, "to", observer.quant_max)
print("largest weight / scale:", np.unique((largest / scale).round(3)))
assert np.allclose(largest / scale, 127.5)

# %% compare
from handbook.record import table

rows = []
for bits in (8, 4):
    half = 2 ** (bits - 1)
    schemes = {
        "restricted": (half - 1, 1 - half),
        "full, PyTorch's": (half - 0.5, -half),
        "full": (half, -half),
    }
    for scheme, (divisor, quant_min) in schemes.items():
        sqnr = []  # of each output channel
        for w in weights:
            w = w.reshape(len(w), -1).astype(np.float64)
            scale = np.abs(w).max(axis=1, keepdims=True) / divisor
            error = np.clip(np.rint(w / scale), quant_min, half - 1) * scale - w
            sqnr.extend(10 * np.log10(np.square(w).sum(axis=1) / np.square(error).sum(axis=1)))
        row = {"bits": bits, "scheme": scheme, "largest weight / scale": divisor}
        row["integers"] = f"{quant_min} to {half - 1}"
        rows.append(row | {"mean SQNR dB": round(float(np.mean(sqnr)), 2)})
decibels = [row["mean SQNR dB"] for row in rows]
assert decibels[0] > max(decibels[1:3]) + 0.5  # 8 bits: the restricted range is the best
assert decibels[5] > decibels[3] + 0.1 > decibels[4]  # 4 bits: the full one is
table("ranges", rows, tolerance={"mean SQNR dB": 0.02}, because="sums of float64")


# %% overflow
def pair_sum(a, b):
    """Two products of int8, added up in 16 bits, as some instructions do."""
    return np.int16(a) * np.int16(b) + np.int16(a) * np.int16(b)


with np.errstate(over="ignore"):
    print("(-128 * -128) * 2 in 16 bits:", pair_sum(-128, -128))
    print("(-128 * -127) * 2 in 16 bits:", pair_sum(-128, -127))
    assert pair_sum(-128, -128) == -32768  # wrapped around: the sum is +32768
assert pair_sum(-128, -127) == 2 * 128 * 127
