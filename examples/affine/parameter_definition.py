"""Scale and zero point: what they are, on a real tensor.

The input images of the running example: their range, the two parameters, and the number line.
Source: Jacob et al. 2018, section 2.1 (arXiv:1712.05877).
"""

# %% parameters
import numpy as np

from handbook.data import fashion_mnist

x = fashion_mnist("train")[0][:1000]  # normalized: (pixel - 73) / 90
quant_min, quant_max = 0, 255  # of uint8
low, high = x.min(), x.max()
scale = (high - low) / (quant_max - quant_min)  # real units for each integer step
zero_point = int(np.rint(quant_min - low / scale))  # the integer that stands for 0.0
print("range", low, high, " scale", scale, scale.dtype, " zero point", zero_point)
assert abs(scale - 1 / 90) < 1e-8 and zero_point == 73

# %% ranges
q = np.clip(np.rint(x / scale) + zero_point, quant_min, quant_max).astype(np.uint8)
restored = (q.astype(np.int32) - zero_point) * scale
print("real zeros:", (x == 0).sum(), " become", np.unique(q[x == 0]), np.unique(restored[x == 0]))
print("representable:", (quant_min - zero_point) * scale, "to", (quant_max - zero_point) * scale)
assert (x == 0).any() and (restored[x == 0] == 0).all()
pixels = fashion_mnist("train", raw=True)[0][:1000]
assert (q[:, 0] == pixels).all()  # this tensor loses nothing: its steps are those of the pixels

# %% signed
signed, signed_zero_point = (q.astype(np.int32) - 128).astype(np.int8), zero_point - 128
print(
    "uint8:", q.min(), q.max(), zero_point, " int8:", signed.min(), signed.max(), signed_zero_point
)
assert ((signed.astype(np.int32) - signed_zero_point) * scale == restored).all()

# %% number_line
from handbook.figure import figure, plt
from handbook.record import record

record(scale=round(float(scale), 6), zero_point=zero_point)
record(low=round(float(low), 3), high=round(float(high), 3))
fig, ax = plt.subplots()
counts, edges = np.histogram(x[x > low], bins=40)  # without the background, most of every image
ax.bar(edges[:-1], counts / counts.max(), np.diff(edges), bottom=1, align="edge", color="C0")
for real, integer in ((low, quant_min), (0, zero_point), (1, 163), (high, quant_max)):
    color = "C1" if integer == zero_point else "C7"
    ax.plot([real, real], [0, 1], color=color, linewidth=1.5)
    ax.text(real + 0.04, 0.93, f"{real:.2f}", va="top")
    ax.text(real + 0.04, 0.07, f"{integer}", va="bottom")
ax.axhline(1, color="k", linewidth=1)
ax.axhline(0, color="k", linewidth=1)
ax.text(0.04, 0.5, "zero point", color="C1", va="center")
ax.set(xlim=(-0.95, 2.45), ylim=(-0.1, 2.1), xticks=[], yticks=[0, 1])
ax.set_yticklabels(["integer", "real"])
ax.grid(visible=False)
ax.spines[["left", "bottom"]].set_visible(False)
ax.tick_params(length=0)
figure("number_line", fig)
