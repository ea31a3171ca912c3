"""Where the quantizer puts Q and DQ, and which of them are left when the graph runs.

The residual block of the running example: as the file has it, and as ONNX Runtime executes it with
uint8 and with int8 activations, on x86.
Source: SessionOptions.optimized_model_filepath.
"""

# %% load
import onnx
import onnxruntime

from handbook.record import artifact

onnxruntime.set_default_logger_severity(3)  # a notice that an optimized graph fits this CPU only
uint8_path = artifact("onnx/ptq_static/int8.onnx")
int8_path = artifact("onnx/ptq_static/QDQ-int8-activations.onnx")


def optimized(path):
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(artifact("onnx/qdq_placement/optimized.onnx"))
    onnxruntime.InferenceSession(path, options)
    return onnx.load(options.optimized_model_filepath).graph.node


graphs = {
    "in the file": onnx.load(uint8_path).graph.node,
    "run as uint8": optimized(uint8_path),
    "run as int8": optimized(int8_path),
}


# %% walk
def layer_of(node):
    """The layer of a convolution, by the name of its weight; "" of another node."""
    weights = [name.split(".conv.weight")[0] for name in node.input if ".conv.weight" in name]
    return weights[0].split(".")[-1] if weights and "Conv" in node.op_type else ""


def steps(nodes):
    """Each layer of the block with its operator, and the Q and DQ between it and the layer before.

    Of the addition's two inputs, the way to the block's last convolution.
    """
    producer = {name: node for node in nodes for name in node.output}
    found = {}
    for node in nodes:
        layer = "add" if node.op_type in ("Add", "QLinearAdd") else layer_of(node)
        for name in node.input if layer == "add" else node.input[:1] if layer else ():
            between, at = [], producer.get(name)
            while at is not None and at.op_type in PASSED:
                between.insert(0, PASSED[at.op_type])
                at = producer.get(at.input[0])
            if layer != "add" or (at is not None and layer_of(at) == "project"):
                found[layer] = (node.op_type, " ".join(filter(None, between)))
    return found


PASSED = {"QuantizeLinear": "Q", "DequantizeLinear": "DQ", "Transpose": ""}  # a layout, no numbers
found = {title: steps(nodes) for title, nodes in graphs.items()}
assert set(found["in the file"]) == set(found["run as uint8"])
assert {between for _, between in found["in the file"].values()} == {"Q DQ"}
assert {between for _, between in found["run as uint8"].values()} == {"", "Q"}  # Q: the input
BLOCK = ("pointwise", "expand", "depthwise", "project", "add", "branch1x1", "branch3x3")

# %% figure
from handbook.figure import figure, plt

fig, ax = plt.subplots(figsize=(4.6, 5.4))
for x, (title, layers) in enumerate(found.items()):
    ax.text(x, 1.0, title, ha="center", weight="bold", fontsize=10)
    for row, layer in enumerate(BLOCK):
        y = -2 * row
        operator, between = layers[layer]
        color = "C0" if operator.startswith("QLinear") else "C1"
        if between:
            ax.text(x, y, between, ha="center", va="center", fontsize=9)
        ax.barh(y - 0.9, 0.94, left=x - 0.47, height=0.9, color=color, alpha=0.3)
        ax.text(x, y - 0.9, operator, ha="center", va="center", fontsize=9)
        if x == 0:
            ax.text(-0.6, y - 0.9, layer, ha="right", va="center", fontsize=9)
ax.set(xlim=(-1.35, 2.5), ylim=(-13.6, 1.6))
ax.axis("off")
figure("placement", fig)
