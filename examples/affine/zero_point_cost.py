"""What a zero point costs: the four sums of a product.

The product of two quantized matrices, expanded; which of its sums need the input, and how many
additions they take in each layer of the running example.
Source: Jacob et al. 2018, section 2.3 (arXiv:1712.05877).
"""

# %% load
import numpy as np

rng = np.random.default_rng(0)
K = 128  # what is summed over: the input channels of a 1x1 convolution
a = rng.integers(0, 256, (49, K))  # 49 positions of an activation, uint8
b = rng.integers(-128, 128, (K, 64))  # 64 output channels, int8
z_a, z_b = 60, -3

# %% expand
direct = (a - z_a) @ (b - z_b)
expanded = (
    a @ b  # what the hardware multiplies
    - z_a * b.sum(axis=0)  # known before the first image: goes into the bias
    - z_b * a.sum(axis=1, keepdims=True)  # depends on the image; gone if z_b is 0
    + K * z_a * z_b  # known before
)
assert (expanded == direct).all()

# %% count
import torch
from torch.fx.experimental.optimization import fuse

from handbook.data import fashion_mnist
from handbook.record import record, table
from handbook.running_example import load_running_example, predict

model = fuse(load_running_example())  # folds each BatchNorm into its convolution
rows = []


def count(layer, inputs, output):
    positions = output[0, 0].numel()
    summed = layer.weight[0].numel()  # inputs of one output
    groups = getattr(layer, "groups", 1)
    row = {"layer": names[layer], "multiplications": positions * len(layer.weight) * summed}
    row["additions for z_b"] = positions * groups * summed  # each group has its own inputs
    rows.append(row | {"%": round(100 * row["additions for z_b"] / row["multiplications"], 1)})


names = {m: n for n, m in model.named_modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Linear)}
for layer in names:
    layer.register_forward_hook(count)
predict(model, fashion_mnist("test")[0][:1])
table("cost", rows)
total = {key: sum(row[key] for row in rows) for key in ("multiplications", "additions for z_b")}
share = 100 * total["additions for z_b"] / total["multiplications"]
depthwise = [row["%"] for row in rows if "depthwise" in row["layer"]]
record(total_percent=round(share, 1))
assert depthwise == [100] * 3  # as many additions as multiplications
