"""Per group: more scales for fewer bits.

Groups of consecutive weights of a channel get a scale each, which costs bits again: accuracy of the
running example with 4-bit weights, against the true number of bits per weight.
Source: the block-wise weights of ONNX's MatMulNBits, and of most 4-bit language models.
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
def fake_quantize(weight, group_size, quant_max=7):  # 4 bits: -7 to 7
    """Groups of `group_size` weights of one output channel share a scale, kept as float16."""
    groups = weight.reshape(len(weight), -1)
    groups = groups.reshape(len(weight), -1, min(group_size, groups.shape[1]))
    scale = (np.abs(groups).max(axis=2, keepdims=True) / quant_max).astype(np.float16)
    q = np.clip(np.round(groups / scale), -quant_max, quant_max)
    return (q * scale).astype(np.float32).reshape(weight.shape), scale.size


# %% results
from handbook.measure import SCORE_TOLERANCE, score
from handbook.record import table

float_logits = predict(model, images)
weight_count = sum(weight.size for weight in weights)
rows = []
for group_size in (1024, 32, 16):  # no channel has more than 1024 weights
    scales = 0
    for layer, weight in zip(layers, weights, strict=True):
        restored, count = fake_quantize(weight, group_size)
        layer.weight.data = torch.from_numpy(restored)
        scales += count
    logits = predict(model, images)
    row = {"weights per scale": group_size if group_size < 1024 else "a whole channel"}
    row |= {"scales": scales, "bits per weight": round(4 + 16 * scales / weight_count, 2)}
    rows.append(row | score(logits, labels, float_logits))
table("groups", rows, **SCORE_TOLERANCE)

whole_channel, finest = rows[0]["accuracy %"], rows[-1]["accuracy %"]
assert abs(finest - whole_channel) < 1.2  # here, finer groups gain less than the interval's width
