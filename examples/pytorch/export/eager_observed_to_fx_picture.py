"""The last layers of an eager model and of its FX form, joined where they share parameters.

Drawn from the parameters that eager_observed_to_fx.py read out of both.
Source: our own measurement.
"""

# %% picture
import json

from handbook.figure import figure, plt
from handbook.record import artifact

path = artifact("pytorch/export/eager_observed_to_fx/parameters.json")
rows = json.loads(path.read_text())[-9:]
assert all(row["scale in FX"] == row["scale in eager mode"] for row in rows)
modules = list(dict.fromkeys(row["eager module"] for row in rows))  # each once
heights = {name: 0.0 for name in modules}
for name in modules:  # in the middle of the nodes that it gives its parameters to
    at = [i for i, row in enumerate(rows) if row["eager module"] == name]
    heights[name] = -sum(at) / len(at)

fig, ax = plt.subplots(figsize=(4.8, 5.8))
for y, row in enumerate(rows):
    name = row["eager module"]
    ax.plot([0.36, 0.6], [heights[name], -y], "-o", color=f"C{modules.index(name)}")
    given = row["FX node"].startswith("activation_post_process")
    node = "rounded again" if given else row["FX node"]
    text = f"{node}\n{row['scale in FX']:.4f}, {row['zero point in FX']}"
    ax.text(0.82, -y, text, ha="center", va="center", fontsize=9)
for name in modules:
    row = next(row for row in rows if row["eager module"] == name)
    text = f"{name}\n{row['scale in eager mode']:.4f}, {row['zero point in eager mode']}"
    ax.text(0.16, heights[name], text, ha="center", va="center", fontsize=9)
ax.set(xlim=(-0.06, 1.06), ylim=(-8.6, 0.6), xticks=[0.16, 0.82])
ax.set_xticklabels(["eager mode: modules", "FX: nodes"])
ax.xaxis.tick_top()
ax.tick_params(length=0)
ax.set_yticks([])
ax.grid(False)
ax.spines[:].set_visible(False)
figure("joined", fig)
