"""Calibration data: how much is enough.

Weights in 8 bits per channel and the input of each layer in 8 bits or in 4, simulated on 1000 test
images, with ranges (minimum and maximum) from 1 to 1000 training images.
Source: our own measurement; torch.fake_quantize_per_tensor_affine.
"""

# %% load
import numpy as np
import torch
from torch.fx.experimental.optimization import fuse

from handbook.data import fashion_mnist
from handbook.running_example import load_running_example, predict

torch.set_num_threads(1)
model = fuse(load_running_example())  # folds batch normalization
layers = [m for m in model.modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Linear)]
images, test_images = fashion_mnist("train")[0][:5000], fashion_mnist("test")[0][:1000]
float_logits = predict(model, test_images)


# %% observe
def observe(layer, inputs):
    ranges[layer].append(torch.stack(inputs[0].flatten(1).aminmax(dim=1), 1))  # of each image


ranges = {layer: [] for layer in layers}
hooks = [layer.register_forward_pre_hook(observe) for layer in layers]
predict(model, images)  # once: the range of any subset follows
observed = np.stack([torch.cat(parts) for parts in ranges.values()], 1)  # (images, layers, 2)
for hook in hooks:
    hook.remove()


# %% quantize
def quantize_input(layer, inputs):
    return torch.fake_quantize_per_tensor_affine(inputs[0], *parameters[layer])


parameters = {}
with torch.no_grad():
    for layer in layers:
        layer.register_forward_pre_hook(quantize_input)
        scale = layer.weight.abs().flatten(1).amax(1).clamp(min=1e-9) / 127
        zero_point = torch.zeros(len(scale), dtype=torch.int32)
        layer.weight.copy_(
            torch.fake_quantize_per_channel_affine(layer.weight, scale, zero_point, 0, -127, 127)
        )

# %% curve
from handbook.figure import figure, plt
from handbook.measure import agreement
from handbook.record import table


def same_answer(observed, bits):
    """Agreement with float in percent, if inputs are quantized in the ranges of these images."""
    low, high = np.minimum(observed[..., 0].min(0), 0), np.maximum(observed[..., 1].max(0), 0)
    scales = np.maximum((high - low) / (2**bits - 1), 1e-9)
    for layer, scale, zero_point in zip(layers, scales, np.rint(-low / scales), strict=True):
        parameters[layer] = float(scale), int(zero_point), 0, 2**bits - 1
    return agreement(predict(model, test_images), float_logits)


rng = np.random.default_rng(0)
sizes, draws = (1, 3, 10, 30, 100, 300, 1000), 5
subsets = [[observed[rng.choice(5000, n, replace=False)] for _ in range(draws)] for n in sizes]
same = {
    bits: np.array([[same_answer(subset, bits) for subset in draw] for draw in subsets])
    for bits in (8, 4)
}
rows = []
for i, n in enumerate(sizes):
    row = {"calibration images": n}
    for bits, of in same.items():
        row[f"{bits} bits, worst draw %"] = of[i].min()
        row[f"{bits} bits, median %"] = np.median(of[i]).round(1)
        row[f"{bits} bits, best %"] = of[i].max()
    rows.append(row)
tolerance = {column: 1.5 if "8" in column else 10 for column in rows[0] if "%" in column}
because = "another CPU's kernels sum in another order, and a range moves with a single value"
table("curve", rows, tolerance=tolerance, because=because)
assert same[8].min() > 97  # even one image

fig, ax = plt.subplots()
for bits, of in same.items():
    (line,) = ax.plot(sizes, np.median(of, 1), "o-", markersize=4, label=f"{bits} bits")
    ax.fill_between(sizes, of.min(1), of.max(1), alpha=0.25, color=line.get_color())
ax.set(xlabel="calibration images", ylabel="same answer as float, %", xscale="log", ylim=(0, 104))
ax.xaxis.set_major_formatter("{x:g}")
ax.legend()
figure("curve", fig)
