"""Per tensor or per channel: what the network makes of it.

Accuracy of the running example with weights of 8, 6 and 4 bits, one scale for each layer or one for
each output channel, and what the scales cost.
Source: Krishnamoorthi 2018, section 3 (arXiv:1806.08342).
"""

# %% load
import numpy as np
import torch
from torch.fx.experimental.optimization import fuse

from handbook.data import fashion_mnist
from handbook.running_example import load_running_example, predict

model = fuse(load_running_example())  # folds each BatchNorm into its convolution
layers = [m for m in model.modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Linear)]
weights = [layer.weight.detach().numpy().copy() for layer in layers]
images, labels = fashion_mnist("test")


# %% quantize
def fake_quantize(weight, per_channel, bits=8):
    """Quantize and dequantize symmetrically; also the scale, of one or of all output channels."""
    quant_max = 2 ** (bits - 1) - 1
    axes = tuple(range(1, weight.ndim)) if per_channel else None  # axis 0 is the output channel
    scale = np.abs(weight).max(axis=axes, keepdims=True) / np.float32(quant_max)
    return np.clip(np.round(weight / scale), -quant_max, quant_max) * scale, scale


# %% network
from handbook.measure import SCORE_TOLERANCE, score
from handbook.record import table

float_logits = predict(model, images)
weight_count = sum(weight.size for weight in weights)
rows = []
for bits in (8, 6, 4):
    for per_channel in (False, True):
        scales = 0
        for layer, weight in zip(layers, weights, strict=True):
            restored, scale = fake_quantize(weight, per_channel, bits)
            layer.weight.data = torch.from_numpy(restored)
            scales += scale.size
        logits = predict(model, images)
        row = {"bits": bits, "scheme": "per channel" if per_channel else "per tensor"}
        row |= {"scales": scales, "bits per weight": round(bits + 32 * scales / weight_count, 2)}
        rows.append(row | score(logits, labels, float_logits))
table("network", rows, **SCORE_TOLERANCE)
assert rows[1]["same answer as float %"] > 99  # 8 bits per channel: as good as float
assert rows[0]["accuracy %"] < rows[1]["accuracy %"] - 10  # per tensor: not
