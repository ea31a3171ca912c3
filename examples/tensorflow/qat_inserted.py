"""What tfmot inserts, read from the model: which layer rounds its weights, which its output.

quantize_model wraps every layer of the running example. The wrapper's variables tell what it
rounds; the picture sets them beside the operators of the int8 file.
Source: tfmot.quantization.keras.quantize_model, tfmot 0.8.1.
"""

# %% load
import os

from handbook.keras_twin import load_keras_twin
from handbook.tflite import quiet

os.environ["TF_USE_LEGACY_KERAS"] = "1"  # tf.keras is Keras 2, the package tf_keras
with quiet():
    import tensorflow_model_optimization as tfmot
    import tf_keras

# %% inserted
from handbook.record import record, table

model = tfmot.quantization.keras.quantize_model(load_keras_twin(tf_keras))
rounds = {}
for layer in model.layers:
    ranges = {w.name.split("/")[-1] for w in layer.weights if w.name.endswith("_max:0")}
    weights = any("kernel" in name for name in ranges)
    rounds[layer.name.removeprefix("quant_")] = (
        "weights, output" if weights and len(ranges) > 1 else "weights" if weights
        else "output" if ranges else "nothing"
    )  # fmt: skip
shown = ["images", "quantize_layer", "stem.pad", "stem.conv", "stem.bn", "stem.relu"]
shown += ["inverted.project.conv", "inverted.project.bn", "add"]
shown += ["branch1x1.conv", "branch1x1.bn", "branch1x1.relu", "cat", "mean", "classifier"]
rows = [{"layer": name, "rounds": rounds[name]} for name in shown]
table("inserted", rows)
record(layers=len(model.layers), outputs=sum("output" in what for what in rounds.values()))
assert rounds["stem.conv"] == "weights" and rounds["stem.relu"] == rounds["add"] == "output"
assert rounds["stem.bn"] == rounds["branch1x1.relu"] == "nothing"  # cat rounds for its branches

# %% figure
from handbook.figure import figure, plt

OPERATORS = {
    "QUANTIZE": (1, 1),
    "PAD": (2, 2),
    "CONV_2D": (3, 5),
    "CONV_2D ": (6, 7),
    "ADD": (8, 8),
}
OPERATORS |= {"CONV_2D  ": (9, 11), "CONCATENATION": (12, 12), "MEAN": (13, 13)}
OPERATORS |= {"FULLY_CONNECTED": (14, 14)}
colors = {"nothing": "gray", "weights": "C1", "output": "C2", "weights, output": "C4"}
fig, ax = plt.subplots(figsize=(4.6, 5.2))
for x, title in enumerate(("Keras layer", "rounds its", "int8 file")):
    ax.text(x, 1, title, ha="center", weight="bold")
for y, name in enumerate(shown):
    ax.barh(-y, 0.94, left=-0.47, height=0.8, color="C0", alpha=0.25)
    ax.barh(-y, 0.94, left=0.53, height=0.8, color=colors[rounds[name]], alpha=0.25)
    ax.text(0, -y, name.replace("inverted.", ""), ha="center", va="center", fontsize=9)
    ax.text(1, -y, rounds[name], ha="center", va="center", fontsize=9)
for name, (top, bottom) in OPERATORS.items():
    middle, height = -(top + bottom) / 2, bottom - top + 0.8
    ax.barh(middle, 0.94, left=1.53, height=height, color="C0", alpha=0.25)
    ax.text(
        2,
        middle,
        name.strip().replace("_", "_\n" if len(name) > 13 else "_"),
        ha="center",
        va="center",
        fontsize=8,
    )
ax.set(xlim=(-0.5, 2.5), ylim=(-14.6, 1.6))
ax.axis("off")
figure("inserted", fig)
