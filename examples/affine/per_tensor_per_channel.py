"""Per tensor or per channel: which weights share a scale.

Both ways to quantize the weights of the running example, batch normalization folded in: the ranges
of the channels, and the error of every layer.
Source: Krishnamoorthi 2018, section 3 (arXiv:1806.08342).
"""

# %% load
import numpy as np
import torch
from torch.fx.experimental.optimization import fuse

from handbook.running_example import load_running_example

model = fuse(load_running_example())  # folds each BatchNorm into its convolution
weights = {
    name: module.weight.detach().numpy()
    for name, module in model.named_modules()
    if isinstance(module, torch.nn.Conv2d | torch.nn.Linear)
}


# %% quantize
def fake_quantize(weight, per_channel, bits=8):
    """Quantize and dequantize symmetrically; also the scale, of one or of all output channels."""
    quant_max = 2 ** (bits - 1) - 1
    axes = tuple(range(1, weight.ndim)) if per_channel else None  # axis 0 is the output channel
    scale = np.abs(weight).max(axis=axes, keepdims=True) / np.float32(quant_max)
    return np.clip(np.round(weight / scale), -quant_max, quant_max) * scale, scale


# %% ranges
from handbook.figure import figure, plt
from handbook.record import record, table

depthwise = weights["inverted.depthwise.conv"]
ranges = np.abs(depthwise).max(axis=(1, 2, 3))
step = ranges.max() / 127
largest = np.rint(ranges / step)  # the largest integer of each channel, with one scale for all
record(channels=len(ranges), up_to_two=int((largest <= 2).sum()), zero=int((largest == 0).sum()))
assert (largest <= 2).sum() > len(ranges) / 2

fig, ax = plt.subplots()
ax.plot(np.sort(ranges)[::-1], "o", markersize=3, label="largest weight of the channel")
ax.axhline(step, color="C1", label="one step of the per-tensor scale")
ax.set(xlabel="output channel, sorted", ylabel="weight", yscale="log")
ax.yaxis.set_major_formatter("{x:g}")
ax.legend()
figure("channel_ranges", fig)


# %% layers
def median_sqnr(weight, restored):
    """Signal-to-quantization-noise ratio in dB of each channel, (weight, restored); the median."""
    axes = tuple(range(1, weight.ndim))
    noise = np.square(restored - weight).sum(axis=axes)
    sqnr = 10 * np.log10(np.square(weight).sum(axis=axes) / np.maximum(noise, 1e-30))
    return round(float(np.median(sqnr)), 1)


rows = []
for name, weight in weights.items():
    ranges = np.abs(weight).reshape(len(weight), -1).max(axis=1)
    row = {"layer": name, "shape": "x".join(map(str, weight.shape))}
    row["widest / narrowest channel"] = round(float(ranges.max() / ranges.min()), 1)
    row["per tensor, dB"] = median_sqnr(weight, fake_quantize(weight, per_channel=False)[0])
    row["per channel, dB"] = median_sqnr(weight, fake_quantize(weight, per_channel=True)[0])
    rows.append(row)
last_digit = dict.fromkeys(
    ("widest / narrowest channel", "per tensor, dB", "per channel, dB"), 0.11
)
table("layers", rows, tolerance=last_digit, because="the last digit may round otherwise")
assert all(row["per channel, dB"] > row["per tensor, dB"] for row in rows)
