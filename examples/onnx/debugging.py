"""Where the error comes from: qdq_loss_debug on every weight and activation.

The file with one scale per weight, which loses most of its accuracy, and the one with a scale for
each channel: signal-to-noise ratio of each tensor, in dB, and two ways in which the tool misleads.
Source: onnxruntime.quantization.qdq_loss_debug.
"""

# %% load
import numpy as np
import onnx
from onnxruntime.quantization.qdq_loss_debug import (
    collect_activations,
    compute_activation_error,
    compute_weight_error,
    create_activation_matching,
    create_weight_matching,
    modify_model_output_intermediate_tensors,
)

from handbook.data import fashion_mnist
from handbook.record import artifact

float_path = artifact("onnx/ptq_static/prepared.onnx")
paths = {
    "per channel": artifact("onnx/ptq_static/int8.onnx"),
    "per tensor": artifact("onnx/ptq_static/QDQ-one-scale-per-weight.onnx"),
}
images = fashion_mnist("train")[0][1000:1500]

# %% weights
weights = {}
for name, path in paths.items():
    weights[name] = compute_weight_error(create_weight_matching(str(float_path), str(path)))
names = [name for name in weights["per tensor"] if name.endswith(".weight")]


# %% activations
batches = [{"images": batch} for batch in np.split(images, 5)]


def tensors(path):
    """The values of every tensor, by name, from a copy of the model that returns them all."""
    augmented_path = artifact("onnx/debugging/augmented.onnx")
    modify_model_output_intermediate_tensors(path, augmented_path)
    return collect_activations(augmented_path, batches)


float_tensors, activations = tensors(float_path), {}
for name, path in paths.items():
    matching = create_activation_matching(tensors(path), float_tensors)
    activations[name] = compute_activation_error(matching)

# %% weight_table
from handbook.record import table

rows = []
for weight in names:
    row = {"weight": weight.removesuffix(".weight").removesuffix(".conv")}
    rows.append(row | {f"{run}, dB": round(weights[run][weight], 1) for run in paths})
WHY = "BLAS sums in another order"
table("weights", rows, tolerance={f"{run}, dB": 0.2 for run in paths}, because=WHY)
worst = min(rows, key=lambda row: row["per tensor, dB"])
assert worst["weight"] == "inverted.depthwise"

# %% activation_table
relus = [n.output[0] for n in onnx.load(float_path).graph.node if n.op_type == "Relu"]
layer = {"images": "images"}  # of each tensor: the layer that it comes from
for node in onnx.load(float_path).graph.node:
    weight = [name for name in node.input if name.endswith(".weight")]
    passed = layer.get(node.input[0]) if node.op_type == "Relu" else node.op_type
    name = weight[0].removesuffix(".weight").removesuffix(".conv") if weight else passed
    layer[node.output[0]] = name

rows = []
for tensor in [tensor for tensor in layer if tensor in activations["per tensor"]]:
    row = {"output of": layer[tensor], "ReLU": "yes" if tensor in relus else ""}
    row["qdq_err, dB"] = round(activations["per channel"][tensor]["qdq_err"], 1)
    for run in paths:
        row[f"xmodel_err, {run}, dB"] = round(activations[run][tensor]["xmodel_err"], 1)
    rows.append(row)
decibels = dict.fromkeys([column for column in rows[0] if column.endswith("dB")], 2)
table("activations", rows, tolerance=decibels, because=WHY)
assert max(row["qdq_err, dB"] for row in rows if row["ReLU"]) < 15  # and nothing is wrong there
assert min(row["xmodel_err, per channel, dB"] for row in rows) > 18

# %% figure
from handbook.figure import figure, plt

fig, ax = plt.subplots(figsize=(5.2, 3.9))
for run, marker in zip(paths, "os", strict=True):
    values = [row[f"xmodel_err, {run}, dB"] for row in rows[1:]]  # the image is exact
    ax.plot(values, range(len(values)), marker=marker, label=run)
ax.set_yticks(range(len(rows) - 1), [row["output of"] for row in rows[1:]])
ax.invert_yaxis()
ax.set(xlabel="signal to noise, dB", xlim=(0, None))
ax.legend(loc="lower center", bbox_to_anchor=(0.4, 1), ncols=2)
figure("activations", fig)
