"""The atlas of conversions: every state that a model can be in, and what each step between keeps.

The map, and for each pair of states the shortest way, are made of the conversions that all other
scripts of this handbook have recorded.
Source: our own measurements; each edge names its script.
"""

# %% load
from handbook.atlas import PARITY, graph, parity_class, recorded, routes
from handbook.conversions import MODES, STATES

rows = recorded()
states = graph(rows)
print(len(rows), "conversions between", len(states), "states")

# %% map
from matplotlib.patches import FancyArrowPatch

from handbook.figure import figure, plt

COLORS = dict(zip(PARITY, ("C0", "C1", "C7"), strict=True))
places = {
    f"{mode}, {state}": (2.2 * STATES.index(state), -1.5 * MODES.index(mode))
    for mode in MODES
    for state in STATES
}


def bend(x, y, to_x, to_y):
    """An arrow passes beside the states between its ends: columns outside, rows above."""
    if x == to_x:
        return 0 if abs(to_y - y) < 2 else (0.22 if x == 0 else -0.22)
    return 0 if (to_x - x, to_y - y) == (2.2, 0) else 0.14


fig, ax = plt.subplots(figsize=(6.4, 6.4))
for have, want, row in states.edges(data="row"):
    keeps = parity_class(row)
    quantizes = have.endswith("float") and keeps == PARITY[2]
    arrow = FancyArrowPatch(
        places[have],
        places[want],
        connectionstyle=f"arc3,rad={bend(*places[have], *places[want])}",
        arrowstyle="-|>",
        mutation_scale=13,
        shrinkA=26 if have.endswith("observed") else 17,
        shrinkB=26 if want.endswith("observed") else 17,
        linewidth=2,
        linestyle=(0, (4, 2)) if quantizes else "-",
        color=COLORS[keeps],
        url=f"script:{row['script']}|{have} to {want}: {keeps}",
    )
    ax.add_patch(arrow)
box = {"boxstyle": "round,pad=0.35", "facecolor": "#ffffff", "edgecolor": "#808080"}
for state in states:
    ax.text(*places[state], state.split(", ")[1], ha="center", va="center", fontsize=10, bbox=box)
for mode in MODES:
    y = places[f"{mode}, float"][1]
    ax.text(-1.4, y, mode.replace(" ", "\n"), ha="center", va="center")
for keeps, color in COLORS.items():
    ax.plot([], [], color=color, label=keeps)
ax.legend(loc="upper center", bbox_to_anchor=(0.5, 0), ncols=3)
ax.set(xlim=(-1.9, 7.4), ylim=(-8.0, 0.5))
ax.set_axis_off()
figure("map", fig)

# %% edges
from handbook.record import record, table

columns = ["have", "want", "way", "accuracy %", "same answer %", "largest difference"]
columns += ["equal parameters %", "integer operators", "float operators"]
edges = [{c: row[c] for c in columns} | {"page": f"script:{row['script']}"} for row in rows]
table("edges", edges)

# %% routes
shortest = []
for (have, want), steps in routes(states).items():
    row = {"I have": have, "I want": want, "steps": len(steps)}
    row["way"] = " → ".join([have, *(step["want"] for step in steps)])
    row["keeps"] = max((parity_class(step) for step in steps), key=PARITY.index)
    shortest.append(row | {"pages": ", ".join(f"script:{step['script']}" for step in steps)})
table("routes", shortest)
record(conversions=len(rows), states=len(states), routes=len(shortest))
kept = [("PyTorch FX, QAT", "ONNX, int8"), ("PyTorch FX, QAT", "TFLite, int8")]
kept += [("PyTorch PT2E, int8", "TFLite, int8"), ("ONNX, int8", "TFLite, int8")]
kept += [("PyTorch eager, int8", "ONNX, int8"), ("PyTorch FX, int8", "PyTorch PT2E, int8")]
assert all(parity_class(states.edges[pair]["row"]) != PARITY[2] for pair in kept)
assert len(states) > 12 and all(row["steps"] < 6 for row in shortest)
