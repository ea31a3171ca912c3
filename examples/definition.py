"""What quantization is: real numbers as integers and a scale.

The weights of one layer become 8-bit integers and come back, off by at most half a step.
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
print(f"scale {scale:.6f}")
print(q.dtype, q.shape, q[0, :5])

# %% dequantize
restored = q * scale
error = np.abs(restored - weight).max() / scale
print(restored.dtype, restored.shape, restored[0, :5])
print(f"largest error: {error:.3f} of a step")
assert error <= 0.5 + 1e-4  # the division itself rounds, in float32
assert q.nbytes * 4 == weight.nbytes

# %% staircase
from handbook.figure import figure, plt

quant_max, step = 3, 0.4 / 3  # 3 bits, so that the steps can be seen
x = np.linspace(-0.6, 0.6, 601)
fig, ax = plt.subplots()
ax.plot(x, x, color="C7", linestyle="--", label="real value")
ax.plot(x, np.clip(np.round(x / step), -quant_max, quant_max) * step, label="quantized, 3 bits")
ax.set(xlabel="real value", ylabel="value that is kept")
ax.legend()
figure("staircase", fig)

# %% wrap
from handbook.record import expected

too_large = np.array([200], np.int32)  # beyond the range, and not clamped
print("not clamped:", too_large.astype(np.int8), " clamped:", np.clip(too_large, -128, 127))
assert too_large.astype(np.int8) == -56
with expected(OverflowError, "out of bounds for int8"):
    np.int8(200)
