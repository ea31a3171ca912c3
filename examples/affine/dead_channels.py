"""Dead channels: who takes the range.

A ReLU that never fires leaves its depthwise channel with a variance of 0. Folding divides by the
square root of that variance, so weights that only ever meet zeros become the largest of the layer.
Source: our own look at why one scale per layer fails here; compare Sheng et al. 2018
(arXiv:1803.08607) on MobileNetV1.
"""

# %% load
import torch
from torch.fx.experimental.optimization import fuse

from handbook.data import fashion_mnist
from handbook.running_example import load_running_example, predict

model = fuse(load_running_example())  # folds each BatchNorm into its convolution
training_images, _ = fashion_mnist("train")
test_images, labels = fashion_mnist("test")

# %% find
largest_input = {}


def keep_largest_input(layer, inputs, output):
    largest = inputs[0].amax(dim=(0, 2, 3))
    largest_input[layer] = torch.maximum(largest_input.get(layer, largest), largest)


depthwise = {n: m for n, m in model.named_modules() if getattr(m, "groups", 1) > 1}
hooks = [layer.register_forward_hook(keep_largest_input) for layer in depthwise.values()]
predict(model, training_images)
for hook in hooks:
    hook.remove()

# %% ranges
from handbook.record import table

rows = []
for name, layer in depthwise.items():
    dead = largest_input[layer] == 0
    ranges = layer.weight.detach().abs().amax(dim=(1, 2, 3))
    row = {"layer": name, "channels": len(dead), "dead": int(dead.sum())}
    row["largest weight"] = round(ranges.max().item(), 1)
    row["largest weight of a live channel"] = round(ranges[~dead].max().item(), 1)
    rows.append(row)
table("ranges", rows)
assert rows[-1]["dead"] > 0
assert rows[-1]["largest weight"] > 10 * rows[-1]["largest weight of a live channel"]


# %% cure
from handbook.measure import SCORE_TOLERANCE, agreement, score


def quantized_per_tensor():
    """Logits of the test images with 8-bit weights, one scale for each layer."""
    quantized = fuse(load_running_example())
    for name, layer in model.named_modules():
        if isinstance(layer, torch.nn.Conv2d | torch.nn.Linear):
            scale = layer.weight.abs().max() / 127
            quantized.get_submodule(name).weight.data = torch.round(layer.weight / scale) * scale
    return predict(quantized, test_images)


float_logits = predict(model, test_images)
runs = {"float32": float_logits, "8 bits per tensor": quantized_per_tensor()}
for name, run in {
    "inverted.depthwise.conv": "... dead channels of inverted.depthwise.conv zeroed",
    "separable1.depthwise.conv": "... and those of separable1.depthwise.conv",
}.items():
    layer = depthwise[name]
    layer.weight.data[largest_input[layer] == 0] = 0  # they only ever multiply zeros
    assert agreement(predict(model, test_images), float_logits) == 100
    runs[run] = quantized_per_tensor()
rows = [{"weights": run} | score(logits, labels, float_logits) for run, logits in runs.items()]
table("cure", rows, **SCORE_TOLERANCE)
assert rows[1]["accuracy %"] < rows[0]["accuracy %"] - 10  # one scale for each layer fails
assert rows[3]["accuracy %"] > rows[0]["accuracy %"] - 1  # and four channels were the reason
