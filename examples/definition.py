"""What quantization is: real numbers as integers and a scale.

The weights of one layer become 8-bit integers and come back, off by at most half a step. Then all
weights of the network, with 8 bits down to 2, and what each bit costs in accuracy.
Source: Jacob et al. 2018, equation 1 (arXiv:1712.05877), here with a zero point of 0.
"""

# %% load
import numpy as np

from handbook.running_example import load_running_example

model = load_running_example()
weight = model.classifier.weight.detach().numpy()
print(weight.dtype, weight.shape, weight[0, :5])

# %% quantize
scale = np.abs(weight).max() / 127
q = np.clip(np.round(weight / scale), -127, 127).astype(np.int8)
print(q.dtype, q.shape, q[0, :5])

# %% dequantize
restored = q * scale
error = np.abs(restored - weight).max() / scale
print(restored.dtype, restored.shape, restored[0, :5])
print(f"largest error: {error:.3f} of a step")
assert error <= 0.5 + 1e-4  # the division itself rounds, in float32
assert q.nbytes * 4 == weight.nbytes

# %% bits
import copy

import torch

from handbook.data import fashion_mnist
from handbook.measure import accuracy, agreement
from handbook.record import record, table
from handbook.running_example import predict

images, labels = fashion_mnist("test")
float_logits = predict(model, images)
rows = []
for bits in (8, 7, 6, 5, 4, 3, 2):
    quant_max = 2 ** (bits - 1) - 1
    quantized = copy.deepcopy(model)
    weights = [p.data for p in quantized.parameters() if p.dim() > 1]
    for w in weights:
        step = w.abs().max() / quant_max
        w.copy_(torch.clamp(torch.round(w / step), -quant_max, quant_max) * step)
    logits = predict(quantized, images)
    correct = accuracy(logits, labels)
    rows.append(
        {
            "bits": bits,
            "levels": 2 * quant_max + 1,
            "weights KiB": round(sum(w.numel() for w in weights) * bits / 8 / 1024, 1),
            "accuracy %": correct.percent,
            "95 % interval": correct.interval,
            "same answer as float %": agreement(logits, float_logits),
        }
    )
KERNELS = "float kernels sum in another order on another CPU, and a few images are near ties"
near = {"accuracy %": 0.3, "95 % interval": 0.3, "same answer as float %": 0.5}
table("bits", rows, tolerance=near, because=KERNELS)
float_accuracy = accuracy(float_logits, labels)
record(accuracy_float=float_accuracy.percent, tolerance=0.1, because=KERNELS)
record(float_kib=round(sum(w.numel() for w in weights) * 4 / 1024, 1))
assert rows[0]["accuracy %"] > float_accuracy.low  # 8 bits: no loss that these images show
assert rows[-1]["accuracy %"] < 20  # 2 bits: unusable

# %% figure
from handbook.figure import figure, plt

fig, ax = plt.subplots()
ax.axhline(float_accuracy.percent, color="C7", linestyle="--", label="float32")
ax.plot([r["bits"] for r in rows], [r["accuracy %"] for r in rows], "o-", label="quantized weights")
ax.set(xlabel="bits per weight", ylabel="accuracy, %", ylim=(0, 100))
ax.legend(loc="lower right")
figure("accuracy_by_bits", fig)

quant_max, step = 3, 0.4 / 3  # 3 bits, so that the steps can be seen
x = np.linspace(-0.6, 0.6, 601)
fig, ax = plt.subplots()
ax.plot(x, x, color="C7", linestyle="--", label="real value")
ax.plot(x, np.clip(np.round(x / step), -quant_max, quant_max) * step, label="quantized, 3 bits")
ax.set(xlabel="real value", ylabel="value that is kept")
ax.legend()
figure("staircase", fig)

# %% wrap
too_large = np.array([200], np.int32)  # beyond the range, and not clamped
print("not clamped:", too_large.astype(np.int8), " clamped:", np.clip(too_large, -128, 127))
assert too_large.astype(np.int8) == -56
try:
    np.int8(200)
except OverflowError as error:
    print(f"OverflowError: {error}")
