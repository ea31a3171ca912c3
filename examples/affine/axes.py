"""Axes: the weights of four kinds of layers in four formats, side by side.

What the scripts for PyTorch, ONNX and TFLite read out of their quantized models, in one table.
Source: those models; nothing here is taken from a document.
"""

# %% join
import json
from itertools import groupby

from handbook.record import artifact, table

pytorch = json.loads(artifact("affine/axes_pytorch/axes.json").read_text())
onnx = json.loads(artifact("affine/axes_onnx/axes.json").read_text())
tflite = json.loads(artifact("affine/axes_tflite/axes.json").read_text())
fx, pt2e = (list(rows) for _, rows in groupby(pytorch, key=lambda row: row["tool"]))

rows = []
operators = ("convolution", "depthwise", "transposed", "linear")  # the order of all three scripts
for position, operator in enumerate(operators):
    for framework, formats in {
        "PyTorch, FX": fx,
        "PyTorch, PT2E": pt2e,
        "ONNX Runtime": onnx,
        "TFLite": tflite,
    }.items():
        found = formats[position]
        axis, scales = found["axis"], found["scales"]
        if scales == "float":
            axis, scales = "left in float", 0
        elif axis == "-":
            axis = "none: one scale"
        row = {"operator": operator, "framework": framework, "shape of the weight": found["weight"]}
        rows.append(row | {"axis of the scales": axis, "scales": scales})
rows.append(dict(zip(rows[0], ["x @ W", "ONNX Runtime", *list(onnx[4].values())[2:]], strict=True)))
table("axes", rows)

# %% check
OUTPUT_CHANNELS = {"convolution": 8, "depthwise": 8, "transposed": 6, "linear": 5, "x @ W": 4}
for row in rows:
    axis, shape = (
        row["axis of the scales"],
        json.loads("[" + row["shape of the weight"][1:-1] + "]"),
    )
    if isinstance(axis, int):
        assert shape[axis] == row["scales"] == OUTPUT_CHANNELS[row["operator"]]
assert len({row["axis of the scales"] for row in rows}) == 5  # 0, 1, 3, none, and left in float
