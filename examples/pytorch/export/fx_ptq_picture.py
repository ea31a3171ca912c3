"""The last layers of an FX model and of its PT2E form, with their scales and zero points.

Drawn from the parameters that fx_ptq_to_pt2e_ptq.py read out of both.
Source: our own measurement.
"""

# %% picture
import json

from handbook.figure import figure, plt
from handbook.record import artifact

path = artifact("pytorch/export/fx_ptq_to_pt2e_ptq/parameters.json")
fx, pt2e = json.loads(path.read_text())
assert list(fx.values()) == list(pt2e.values())

fig, ax = plt.subplots(figsize=(4.6, 5.2))
for y, (a, b) in enumerate(zip(list(fx)[-7:], list(pt2e)[-7:], strict=True)):
    ax.plot([0.42, 0.58], [-y, -y], "-o", color=f"C{y}")
    for x, name, (step, zero, *_) in ((0.2, a, fx[a]), (0.8, b, pt2e[b])):
        text = f"{name}\n{step:.4f}, {zero}"
        ax.text(x, -y, text, ha="center", va="center", fontsize=9)
ax.set(xlim=(-0.05, 1.05), ylim=(-6.6, 0.6), xticks=[0.2, 0.8], xticklabels=["FX", "PT2E"])
ax.xaxis.tick_top()
ax.set_yticks([])
ax.grid(False)
ax.spines[:].set_visible(False)
figure("joined", fig)
