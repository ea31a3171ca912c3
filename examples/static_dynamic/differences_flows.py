"""Static, dynamic and weight-only as data flows: what happens before inference, what during it.

A drawing; differences.py computes what it shows.
Source: our own drawing.
"""

# %% load
import itertools

from handbook.figure import figure, plt

# Position, text; the line at 0 is the start of inference.
before = {
    "static": [(2, "range from\ncalibration data"), (1, "weights\nto int8")],
    "dynamic": [(1, "weights\nto int8")],
    "weight-only": [(1, "weights\nto int8")],
}
during = {
    "static": ["quantize in\nthe known range", "int8 x int8,\nsums in int32", "rescale\nto int8"],
    "dynamic": [
        "find the range\nof this input",
        "quantize\nin that range",
        "int8 x int8,\nsums in int32",
        "rescale\nto float",
    ],
    "weight-only": ["weights back\nto float", "float x float"],
}

assert all(len(steps) > 1 for steps in during.values())  # none is free at inference

# %% draw
fig, ax = plt.subplots(figsize=(5.4, 4.7))
ax.set(xlim=(-0.5, 2.5), ylim=(-4.05, 2.85))
ax.axis("off")
ax.axhline(0.35, color="grey", linestyle="--")
ax.text(-0.48, 0.4, "before inference", color="grey", va="bottom", fontsize=10)
ax.text(-0.48, 0.3, "for every input", color="grey", va="top", fontsize=10)
for column, way in enumerate(before):
    ax.text(column, 2.75, way, ha="center", va="center", weight="bold")
    boxes = [(row, text, "C0") for row, text in before[way]]
    boxes += [(-0.65 - i, text, "C1") for i, text in enumerate(during[way])]
    for row, text, color in boxes:
        style = {"boxstyle": "round,pad=0.3", "facecolor": "none", "edgecolor": color}
        ax.text(column, row, text, ha="center", va="center", ma="center", size=10, bbox=style)
    for start, end in itertools.pairwise(boxes):
        if start[2] == end[2] == "C1":
            arrow = {"arrowstyle": "->", "color": "grey"}
            ax.annotate("", (column, end[0] + 0.3), (column, start[0] - 0.3), arrowprops=arrow)
figure("flows", fig)
