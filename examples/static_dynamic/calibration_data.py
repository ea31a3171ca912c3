"""Calibration data: how much is enough.

Weights in 8 bits per channel and the input of each layer in 8 bits, simulated on 1000 test images,
with ranges (minimum and maximum) from 1 to 1000 training images.
Source: our own measurement.
"""

# %% load
import numpy as np
import torch
from torch.fx.experimental.optimization import fuse

from handbook.data import fashion_mnist
from handbook.running_example import load_running_example

torch.set_num_threads(1)
model = fuse(load_running_example())  # folds batch normalization
layers = [m for m in model.modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Linear)]
images, classes = fashion_mnist("train")
test_images, labels = (part[:2000] for part in fashion_mnist("test"))


# %% observe
def ranges(images):
    """Minimum and maximum of each layer's input for each image: (images, layers, 2)."""
    found = []
    hooks = [
        layer.register_forward_pre_hook(
            lambda layer, x: found[-1].append(x[0].flatten(1).aminmax(dim=1))
        )
        for layer in layers
    ]
    with torch.inference_mode():
        for batch in torch.from_numpy(images).split(100):
            found.append([])
            model(batch)
    for hook in hooks:
        hook.remove()
    return np.concatenate([np.stack([np.stack(r, -1) for r in batch], 1) for batch in found])


observed = ranges(images[:5000])  # once: the range of any subset follows

# %% quantize
float_logits = model(torch.from_numpy(test_images)).detach().numpy()
with torch.no_grad():
    for layer in layers:
        scale = layer.weight.abs().flatten(1).amax(1).clamp(min=1e-9) / 127
        scale = scale.reshape(-1, *[1] * (layer.weight.ndim - 1))
        layer.weight.copy_((layer.weight / scale).round() * scale)


def predict_quantized(observed, bits=8, which=slice(None)):
    """Logits of test images, with the input of each layer quantized in the range observed."""
    parameters = {}
    low, high = np.minimum(observed[..., 0].min(0), 0), np.maximum(observed[..., 1].max(0), 0)
    for layer, a, b in zip(layers, low.tolist(), high.tolist(), strict=True):
        scale = max((b - a) / (2**bits - 1), 1e-9)
        parameters[layer] = scale, round(-a / scale)

    def quantize_input(layer, inputs):  # in place, after the division: it is faster
        scale, zero_point = parameters[layer]
        q = (inputs[0] / scale).round_().add_(zero_point).clamp_(0, 2**bits - 1)
        return q.sub_(zero_point).mul_(scale)

    hooks = [layer.register_forward_pre_hook(quantize_input) for layer in layers]
    with torch.inference_mode():
        batches = torch.from_numpy(test_images[which]).split(100)
        logits = torch.cat([model(batch) for batch in batches])
    for hook in hooks:
        hook.remove()
    return logits.numpy()


# %% curve
from handbook.figure import figure, plt
from handbook.measure import agreement
from handbook.record import table

rng = np.random.default_rng(0)
sizes, draws = (1, 3, 10, 30, 100, 300, 1000), 5
subsets = [[rng.choice(5000, n, replace=False) for _ in range(draws)] for n in sizes]
few = slice(0, 1000)  # of the test images


def same_answer(bits):
    """Agreement with float in percent: (sizes, draws)."""
    runs = [[predict_quantized(observed[s], bits, few) for s in draw] for draw in subsets]
    return np.array([[agreement(r, float_logits[few]) for r in draw] for draw in runs])


same = {bits: same_answer(bits) for bits in (8, 4)}
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

fig, ax = plt.subplots()
for bits, of in same.items():
    (line,) = ax.plot(sizes, np.median(of, 1), "o-", markersize=4, label=f"{bits} bits")
    ax.fill_between(sizes, of.min(1), of.max(1), alpha=0.25, color=line.get_color())
ax.set(xlabel="calibration images", ylabel="same answer as float, %", xscale="log", ylim=(0, 104))
ax.xaxis.set_major_formatter("{x:g}")
ax.legend()
figure("curve", fig)
assert same[8].min() > 97  # even one image
