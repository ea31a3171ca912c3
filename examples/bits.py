"""What a bit costs: all weights of the network at 8 bits, down to 2.

Accuracy, agreement with the float network, and the size of the weights, by the number of bits.
Source: the formula of definition.py, with one scale for each layer.
"""

# %% load
import copy

import torch

from handbook.data import fashion_mnist
from handbook.running_example import load_running_example, predict

model = load_running_example()
images, labels = fashion_mnist("test")
float_logits = predict(model, images)


# %% quantize
def quantize_weights(model, bits):
    """A copy of the model whose weights, one scale for each layer, have 2 ** bits - 1 levels."""
    quant_max = 2 ** (bits - 1) - 1
    quantized = copy.deepcopy(model)
    for weight in (p.data for p in quantized.parameters() if p.dim() > 1):
        scale = weight.abs().max() / quant_max
        weight.copy_(torch.clamp(torch.round(weight / scale), -quant_max, quant_max) * scale)
    return quantized


# %% results
from handbook.measure import SCORE_TOLERANCE, accuracy, score
from handbook.record import record, table

weight_count = sum(p.numel() for p in model.parameters() if p.dim() > 1)
rows = []
for bits in (8, 7, 6, 5, 4, 3, 2):
    logits = predict(quantize_weights(model, bits), images)
    row = {"bits": bits, "levels": 2**bits - 1}
    row["weights KiB"] = round(weight_count * bits / 8 / 1024, 1)
    rows.append(row | score(logits, labels, float_logits))
table("bits", rows, **SCORE_TOLERANCE)

float_accuracy = accuracy(float_logits, labels)
float_right = float_logits.argmax(1) == labels
eight_right = predict(quantize_weights(model, 8), images).argmax(1) == labels
lost, gained = (float_right & ~eight_right).sum(), (eight_right & ~float_right).sum()
record(float_kib=round(weight_count * 4 / 1024, 1))
NEAR_TIES = "kernels sum in another order, and a few images are near a tie"
record(float_accuracy=float_accuracy.percent, tolerance=0.1, because=NEAR_TIES)
record(lost=lost, gained=gained, tolerance=10, because=NEAR_TIES)
assert rows[0]["accuracy %"] > float_accuracy.percent - 1  # 8 bits: a small loss
assert rows[4]["accuracy %"] < float_accuracy.percent - 10  # 4 bits: a large one
assert rows[-1]["accuracy %"] < 30  # 2 bits: unusable

# %% figure
from handbook.figure import figure, plt

fig, ax = plt.subplots()
ax.axhline(float_accuracy.percent, color="C7", linestyle="--", label="float32")
ax.plot([r["bits"] for r in rows], [r["accuracy %"] for r in rows], "o-", label="quantized weights")
ax.set(xlabel="bits per weight", ylabel="accuracy, %", ylim=(0, 100))
ax.legend(loc="lower right")
figure("accuracy_by_bits", fig)
