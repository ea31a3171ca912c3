"""Which layer can be int8, in which framework and in which way?

One table of what the other scripts found out, each with models of one layer.
Source: operators_eager.py, operators_fx.py, operators_x86.py, operators_quantizers.py,
operators_onnx.py, operators_tflite.py and operators_tfmot.py, beside this file.
"""

# %% join
import json

from handbook.findings import rows
from handbook.record import artifact, record, table

files = [
    artifact("static_dynamic/operators_eager/results.json"),
    artifact("static_dynamic/operators_fx/results.json"),
    artifact("static_dynamic/operators_x86/results.json"),
    artifact("static_dynamic/operators_quantizers/results.json"),
    artifact("static_dynamic/operators_onnx/results.json"),
    artifact("static_dynamic/operators_tflite/results.json"),
    artifact("static_dynamic/operators_tfmot/results.json"),
]
columns = {}
for file in files:
    columns |= json.loads(file.read_text())
cells = rows(columns)
table("operators", cells)
record(layers=len(cells), columns=len(columns))
assert len(cells) >= 40

# %% claims
by_layer = {row["layer"]: row for row in cells}
static = [name for name in columns if name.endswith("static")]
for layer in ("Linear", "Conv2d", "Conv2d, depthwise"):
    assert all(by_layer[layer][name] == "int8" for name in static)
dynamic = [name for name in columns if name.endswith("dynamic")]
convolutions = {name for name in dynamic if by_layer["Conv2d"][name] == "int8"}
assert {"ORT dynamic", "TFLite dynamic"} <= convolutions
print("a dynamic Conv2d in integers:", ", ".join(sorted(convolutions)))
assert {by_layer["ReLU"][name] for name in static} <= {"int8", "follows", "fused"}
assert by_layer["SiLU"]["ORT static"] == by_layer["Hardswish"]["FX static"] == "int8"
assert by_layer["SiLU"]["FX static"] == "float" and by_layer["Hardswish"]["ORT static"] == "partly"

# %% figure
import numpy as np
from matplotlib.patches import Patch

from handbook.figure import figure, plt

# From int8 arithmetic to none: color, and the words of the table that it stands for.
KINDS = {
    "int8": ("C0", ["int8", "follows", "fused"]),
    "in part": ("C2", ["partly", "weights"]),
    "float": ("#b0b0b0", ["float"]),
    "error": ("C3", ["error"]),
}
color = {word: shade for shade, words in KINDS.values() for word in words}
fig, ax = plt.subplots(figsize=(5.4, 10))
for y, row in enumerate(cells):
    for x, name in enumerate(columns):
        if row[name] in color:
            ax.add_patch(plt.Rectangle((x + 0.05, y + 0.08), 0.9, 0.84, color=color[row[name]]))
ax.set(xlim=(0, len(columns)), ylim=(len(cells), 0))
ax.set_xticks(np.arange(len(columns)) + 0.5, list(columns), rotation=90, fontsize=9)
ax.set_yticks(np.arange(len(cells)) + 0.5, list(by_layer), fontsize=9)
ax.tick_params(length=0, labeltop=True, labelbottom=False, top=False)
ax.grid(False)
ax.spines[:].set_visible(False)
handles = [Patch(color=shade, label=kind) for kind, (shade, _) in KINDS.items()]
fig.legend(handles=handles, loc="outside lower center", ncols=4, fontsize=9)
figure("operators", fig)
