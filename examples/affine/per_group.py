"""Per group: more scales for fewer bits.

Groups of consecutive weights of a channel get a scale each, which costs bits again: accuracy of the
running example with 4-bit weights, against the true number of bits per weight, and 5-bit weights.
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
def fake_quantize(weight, group_size, bits):
    """Groups of `group_size` weights of one output channel share a scale, kept as float16."""
    quant_max = 2 ** (bits - 1) - 1  # 4 bits: -7 to 7
    groups = weight.reshape(len(weight), -1)
    groups = groups.reshape(len(weight), -1, min(group_size, groups.shape[1]))
    scale = (np.abs(groups).max(axis=2, keepdims=True) / quant_max).astype(np.float16)
    q = np.clip(np.round(groups / scale), -quant_max, quant_max)
    return (q * scale).astype(np.float32).reshape(weight.shape), scale.size


# %% results
from handbook.measure import SCORE_TOLERANCE, paired, score
from handbook.record import record, table

float_logits = predict(model, images)
weight_count = sum(weight.size for weight in weights)
rows, answers = [], {}
for bits, group_size in ((4, 1024), (4, 32), (4, 16), (5, 1024)):  # 1024: a whole channel
    scales = 0
    for layer, weight in zip(layers, weights, strict=True):
        restored, count = fake_quantize(weight, group_size, bits)
        layer.weight.data = torch.from_numpy(restored)
        scales += count
    logits = predict(model, images)
    answers[bits, group_size] = logits
    row = {
        "bits": bits,
        "weights per scale": group_size if group_size < 1024 else "a whole channel",
    }
    row |= {"scales": scales, "bits per weight": round(bits + 16 * scales / weight_count, 2)}
    rows.append(row | score(logits, labels, float_logits))
table("groups", rows, **SCORE_TOLERANCE)

finer = paired(answers[4, 16], answers[4, 1024], labels)
five_bits = paired(answers[5, 1024], answers[4, 16], labels)
because = "images near a tie change sides"
record(lost=five_bits.lost, gained=five_bits.gained, tolerance=40, because=because)
record(finer_p=finer.p, tolerance=1, because=because)
record(five_bits_p=five_bits.p, tolerance=1, because=because)
agreement = [row["same answer as float %"] for row in rows]
assert agreement[3] > max(agreement[:3])  # five bits are closer to float, and no more accurate
assert five_bits.gained < five_bits.lost + 40
