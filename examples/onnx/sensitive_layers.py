"""Sensitive layers: found one by one, and kept in float.

With one scale per weight the running example loses most of its accuracy. Which layers are to blame,
how much comes back when they stay in float, and what that costs in size.
Source: nodes_to_quantize and nodes_to_exclude of onnxruntime.quantization.quantize_static.
"""

# %% load
import onnx
import onnxruntime
from onnxruntime.quantization import QuantType, quantize_static

from handbook.data import fashion_mnist
from handbook.measure import agreement
from handbook.onnx_session import CalibrationImages, predict_onnx
from handbook.record import artifact

onnxruntime.set_default_logger_severity(3)  # a notice that an optimized graph fits this CPU only
prepared_path = artifact("onnx/ptq_static/prepared.onnx")
search_images = fashion_mnist("train")[0][1000:2000]  # not the test set: this is a choice
test_images, labels = fashion_mnist("test")


def quantize(name, **options):
    path = artifact(f"onnx/sensitive_layers/{name}.onnx")
    options = {"per_channel": False} | options
    quantize_static(
        prepared_path, path, CalibrationImages(), activation_type=QuantType.QUInt8, **options
    )
    return path


# %% one_at_a_time
layers = {}  # of each node with weights: its name in the graph, and that of its weight
for node in onnx.load(prepared_path).graph.node:
    if node.op_type in ("Conv", "Gemm"):
        layers[node.name] = node.input[1].removesuffix(".weight").removesuffix(".conv")

float_answers = predict_onnx(prepared_path, search_images)
alone = {}
for node in layers:
    path = quantize("alone", nodes_to_quantize=[node])
    alone[node] = agreement(predict_onnx(path, search_images, x64quantprecision="1"), float_answers)

worst = sorted(layers, key=alone.get)
for node in worst[:4]:
    print(f"{layers[node]:22} quantized alone: {alone[node]:5.1f} % as float")
assert all("depthwise" in layers[node] for node in worst[:2])


# %% excluded
def run(path, *disabled):
    """Logits, and how many convolutions run in float."""
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.x64quantprecision", "1")
    options.optimized_model_filepath = str(artifact("onnx/sensitive_layers/optimized.onnx"))
    session = onnxruntime.InferenceSession(path, options, disabled_optimizers=disabled)
    operators = [n.op_type for n in onnx.load(options.optimized_model_filepath).graph.node]
    return session.run(None, {"images": test_images})[0], operators.count("Conv")


excluded = [quantize(f"{n}", nodes_to_exclude=worst[:n]) for n in range(3)]
runs = {
    "none kept in float": run(excluded[0]),
    f"without {layers[worst[0]]}": run(excluded[1]),
    "the same, WeightBiasQuantization off": run(excluded[1], "WeightBiasQuantization"),
    f"and without {layers[worst[1]]}": run(excluded[2], "WeightBiasQuantization"),
    "one scale for each channel": run(quantize("per_channel", per_channel=True)),
}

# %% results
from handbook.measure import SCORE_TOLERANCE, score
from handbook.record import record, table

float_logits, rows = predict_onnx(prepared_path, test_images), []
for name, (logits, convolutions) in runs.items():
    row = {"model": name, "convolutions in float": convolutions}
    rows.append(row | score(logits, labels, float_logits))
wide = dict.fromkeys(SCORE_TOLERANCE["tolerance"], 2)
table("results", rows, tolerance=wide, because=SCORE_TOLERANCE["because"])
assert [row["convolutions in float"] for row in rows] == [0, 0, 1, 2, 0]
none, overruled, one, two, per_channel = (row["accuracy %"] for row in rows)
assert none + 10 < overruled < one - 4  # excluded, and quantized all the same as it was loaded
assert min(two, per_channel) > 89
record(overruled=overruled, kept=one, tolerance=2, because=SCORE_TOLERANCE["because"])

# %% figure
from handbook.figure import figure, plt

fig, ax = plt.subplots(figsize=(5.0, 3.4))
ax.barh([layers[node] for node in worst[::-1]], [100 - alone[node] for node in worst[::-1]])
ax.set(xlabel="answers changed, %")
ax.grid(axis="y", visible=False)
figure("sensitivity", fig)
