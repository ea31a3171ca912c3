"""Move the scales of the channels into the weights.

Each channel of an activation divided by a power of its range, the next weights multiplied by it:
the same network, with activations that are easier to quantize, and weights that are harder.
Source: Nagel et al. 2019 (arXiv:1906.04721); the power, Xiao et al. 2022 (arXiv:2211.10438), here
of the activations only.
"""

# %% load
import copy

import numpy as np
import torch
from torch.fx.experimental.optimization import fuse

from handbook.data import fashion_mnist
from handbook.running_example import load_running_example, predict

images = fashion_mnist("test")[0][:2000]
model = fuse(load_running_example())  # folds each BatchNorm into its convolution
float_logits = predict(model, images)


def layers(model):
    return [m for m in model.modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Linear)]


def input_ranges(model):
    """The lowest and the highest input of each layer, by channel; 0 is within."""
    model, ranges = copy.deepcopy(model), []
    for layer in layers(model):
        ranges.append(found := [0, 0])

        def observe(_, inputs, found=found):
            low, high = inputs[0].transpose(0, 1).flatten(1).aminmax(dim=1)
            found[:] = torch.clamp(low, max=found[0]), torch.clamp(high, min=found[1])

        layer.register_forward_pre_hook(observe)
    predict(model, fashion_mnist("train")[0][:1000])
    return ranges


# %% move
def move(power):
    moved = copy.deepcopy(model)
    stem, dw1, pw1, dw2, pw2, expand, dw3, project, branch1, branch3, classifier = layers(moved)
    ranges = dict(zip(layers(moved), input_ranges(model), strict=True))
    pairs = [(stem, dw1), (dw1, pw1), (pw1, dw2), (dw2, pw2), (expand, dw3), (dw3, project)]
    for producers, consumers in (
        *(([before], [after]) for before, after in pairs),
        ([pw2, project], [expand, branch1, branch3]),  # an add: all share one factor
        ([branch1, branch3], [classifier]),  # a concatenation: each has its part of it
    ):
        reach = torch.stack([torch.maximum(-ranges[c][0], ranges[c][1]) for c in consumers])
        factor = reach.amax(0)
        factor = torch.where(factor > 0, factor, factor.max()) ** power  # a dead channel has none
        parts = factor.split(48) if classifier in consumers else [factor] * len(producers)
        for layer, part in zip(producers, parts, strict=True):
            layer.weight.data /= part[:, None, None, None]
            layer.bias.data /= part
        for layer in consumers:  # of a depthwise convolution, input and output channel are one
            axis = 0 if getattr(layer, "groups", 1) > 1 else 1
            layer.weight.data = (layer.weight.data.movedim(axis, -1) * factor).movedim(-1, axis)
    return moved


# %% results
from handbook.record import table


def sqnr(model, bits):
    """Of the logits in dB: inputs of `bits` bits, one scale; weights of 8, one for each channel."""
    quantized = copy.deepcopy(model)
    for layer, (low, high) in zip(layers(quantized), input_ranges(model), strict=True):
        scale = (high.max() - low.min()) / (2**bits - 1)
        low, high = torch.round(low.min() / scale), torch.round(high.max() / scale)

        def quantize(_, inputs, scale=scale, low=low, high=high):
            return torch.clamp(torch.round(inputs[0] / scale), low, high) * scale

        layer.register_forward_pre_hook(quantize)
        weight = layer.weight.data.flatten(1)
        step = weight.abs().amax(1, keepdim=True) / 127
        layer.weight.data = (torch.round(weight / step) * step).view_as(layer.weight)
    noise = np.square(predict(quantized, images) - float_logits).sum()
    return round(float(10 * np.log10(np.square(float_logits).sum() / noise)), 1)


rows = []
for power in (0, 0.25, 0.5, 0.75, 1):
    network = move(power)
    assert np.abs(predict(network, images) - float_logits).max() < 1e-4  # the same function
    rows.append({"power": power, "8 bits, dB": sqnr(network, 8), "6 bits, dB": sqnr(network, 6)})
because = "values near a tie round to the other side on another CPU"
table("results", rows, tolerance={"8 bits, dB": 2, "6 bits, dB": 2}, because=because)
nothing, _, _, most, everything = (row["8 bits, dB"] for row in rows)
assert most > nothing + 1 and everything < nothing - 3
assert rows[3]["6 bits, dB"] > rows[0]["6 bits, dB"] + 4
