"""Rounding: ties, the inverse of the scale, and how often either matters.

Four rules for a value halfway between two integers; a value that a division and a multiplication by
the inverse round differently; and the share of such values in the running example.
Source: FBGEMM, include/fbgemm/QuantUtils.h, which explains both choices in comments.
"""

# %% ties
import numpy as np

ties = np.float32([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5])  # steps: x / scale
zero_point = 1
rules = {
    "to the even step": np.rint(ties),
    "to the even integer": np.rint(ties + zero_point) - zero_point,
    "away from zero": np.copysign(np.floor(np.abs(ties) + 0.5), ties),
    "up": np.floor(ties + 0.5),
}
for rule, rounded in rules.items():
    print(f"{rule:20}", *rounded.astype(int))

# %% inverse
one = np.float32(1)
scales = np.float32(np.arange(3, 99, 2) / 64)
below = 1.5 * scales * (one / scales) < 1.5  # 1 / scale was rounded down
scale = scales[below][0]
x = 1.5 * scale
print(f"x = {x}, scale = {scale}, 1 / scale = {one / scale}")
print(f"x / scale = {x / scale}, x * (1 / scale) = {x * (one / scale)}")
assert (np.rint(x / scale), np.rint(x * (one / scale))) == (2, 1)

# %% share
import torch
from torch.fx.experimental.optimization import fuse

from handbook.data import fashion_mnist
from handbook.record import record, table
from handbook.reference import quantization_parameters, quantize_linear, round_half_away
from handbook.running_example import load_running_example, predict

model = fuse(load_running_example())
images = fashion_mnist("test")[0][:1000]
tensors = {"images": [images], "activations": [], "weights": []}
for layer in model.modules():
    if isinstance(layer, torch.nn.ReLU):
        layer.register_forward_hook(lambda *call: tensors["activations"].append(call[2].numpy()))
    elif isinstance(layer, torch.nn.Conv2d | torch.nn.Linear):
        tensors["weights"].append(layer.weight.detach().numpy())
predict(model, images)

rows = []
for name, arrays in tensors.items():
    row = {"values": name, "count": 0, "differ: away from zero": 0, "differ: inverse": 0}
    for x in arrays:
        parameters = quantization_parameters(x.min(), x.max())
        q = quantize_linear(x, *parameters)
        row["count"] += q.size
        away = quantize_linear(x, *parameters, rounding=round_half_away)
        row["differ: away from zero"] += int((away != q).sum())
        inverse = quantize_linear(x, *parameters, inverse=True)
        row["differ: inverse"] += int((inverse != q).sum())
    rows.append(row)
few = {"differ: away from zero": 1000, "differ: inverse": 1000}
because = "the number of ties hangs on the last bits of the scales, and those on the CPU"
table("share", rows, tolerance=few, because=because)
differ = sum(row["differ: away from zero"] + row["differ: inverse"] for row in rows)
assert differ < 1e-4 * rows[1]["count"]

# %% grid
pixels = fashion_mnist("test", raw=True)[0].astype(np.float32)
halves = pixels / 2  # a scale of 2: every odd pixel is a tie
even, away = np.rint(halves), round_half_away(halves)
odd = pixels % 2 == 1
print(f"mean error of the odd pixels: {(even - halves)[odd].mean():.3f} of a step to the even,")
print(f"{(away - halves)[odd].mean():.3f} away from zero")
record(
    odd_percent=round(100 * odd.mean(), 1), even_bias=round(float((even - halves)[odd].mean()), 3)
)
assert (away - halves)[odd].mean() == 0.5
