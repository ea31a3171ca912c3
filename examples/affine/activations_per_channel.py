"""Activations per channel: what they would gain.

The inputs of all layers of the running example with one scale for each tensor or, simulated, one
for each channel. No integer kernel can run the second.
Source: our own measurement; the reason is that the scale stays inside the sum.
"""

# %% load
import numpy as np
import torch
from torch.fx.experimental.optimization import fuse

from handbook.data import fashion_mnist
from handbook.running_example import load_running_example, predict

model = fuse(load_running_example())  # folds each BatchNorm into its convolution
layers = [m for m in model.modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Linear)]
images, labels = fashion_mnist("test")
float_logits = predict(model, images)

# %% ranges
lowest, highest = {}, {}  # of each channel; both ranges hold 0


def observe(layer, inputs):
    low, high = inputs[0].transpose(0, 1).flatten(1).aminmax(dim=1)
    lowest[layer] = torch.clamp(low, max=lowest.get(layer, 0))
    highest[layer] = torch.clamp(high, min=highest.get(layer, 0))


hooks = [layer.register_forward_pre_hook(observe) for layer in layers]
predict(model, fashion_mnist("train")[0][:1000])
for hook in hooks:
    hook.remove()


# %% simulate
def simulate(bits, per_channel):
    """Logits of the test images if each layer quantizes and dequantizes its input."""

    def quantize(layer, inputs):
        low, high = lowest[layer], highest[layer]
        if per_channel:  # axis 1 of (N, C, H, W) and of (N, C)
            shape = [1, -1] + [1] * (inputs[0].ndim - 2)
            low, high = low.reshape(shape), high.reshape(shape)
        else:
            low, high = low.min(), high.max()
        scale = ((high - low) / (2**bits - 1)).clamp(min=1e-9)  # 0 for a channel of zeros
        zero_point = torch.round(-low / scale)
        q = torch.clamp(torch.round(inputs[0] / scale) + zero_point, 0, 2**bits - 1)
        return (q - zero_point) * scale

    hooks = [layer.register_forward_pre_hook(quantize) for layer in layers]
    logits = predict(model, images)
    for hook in hooks:
        hook.remove()
    return logits


# %% results
from handbook.measure import SCORE_TOLERANCE, score
from handbook.record import table

rows = []
for bits in (8, 4):
    for per_channel in (False, True):
        logits = simulate(bits, per_channel)
        noise = np.square(logits - float_logits).sum()
        row = {"bits": bits, "activations": "per channel" if per_channel else "per tensor"}
        row["SQNR, dB"] = round(float(10 * np.log10(np.square(float_logits).sum() / noise)), 1)
        rows.append(row | score(logits, labels, float_logits))
tolerance = SCORE_TOLERANCE["tolerance"] | {"SQNR, dB": 1}
table("results", rows, tolerance=tolerance, because=SCORE_TOLERANCE["because"])
sqnr = [row["SQNR, dB"] for row in rows]
assert sqnr[1] > sqnr[0] + 5 and sqnr[3] > sqnr[2] + 5
assert rows[0]["accuracy %"] > rows[1]["accuracy %"] - 1  # at 8 bits it gains no right answers
assert rows[2]["accuracy %"] < rows[3]["accuracy %"] - 10  # at 4 it would
