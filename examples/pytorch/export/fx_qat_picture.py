"""A trained FX model and its PT2E form, joined by their scales and zero points.

Drawn from the parameters that fx_qat_to_pt2e_qat.py read out of both.
Source: our own measurement.
"""

# %% picture
import json

from handbook.figure import figure, plt
from handbook.record import artifact

path = artifact("pytorch/export/fx_qat_to_pt2e_qat/parameters.json")
fx, pt2e = json.loads(path.read_text())
assert list(fx.values()) == list(pt2e.values())

fig, ax = plt.subplots(figsize=(4.6, 6.8))
for y, (a, b) in enumerate(zip(fx, pt2e, strict=True)):
    ax.plot([0.46, 0.6], [-y, -y], "-o", color=f"C{y % 8}", markersize=4)
    ax.text(0.2, -y + 0.05, a, ha="center", va="bottom", fontsize=8)
    ax.text(0.84, -y + 0.05, b, ha="center", va="bottom", fontsize=8)
    for x, (step, zero, *_) in ((0.2, fx[a]), (0.84, pt2e[b])):
        ax.text(x, -y - 0.05, f"{step:.4f}, {zero}", ha="center", va="top", fontsize=8)
ax.set(xlim=(-0.08, 1.05), ylim=(-len(fx) + 0.4, 0.6))
ax.set_xticks([0.2, 0.84], ["FX, fake-quantized", "PT2E, int8"])
ax.xaxis.tick_top()
ax.set_yticks([])
ax.grid(False)
ax.spines[:].set_visible(False)
figure("joined", fig)
