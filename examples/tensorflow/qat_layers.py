"""Where a QAT model and its int8 file part: layer by layer.

First the weights: the file's integers are those that tfmot trained with, and its scales are tfmot's
times the factor of batch normalization. Then the activations of 500 images, after each layer.
Source: tfmot 0.8.1, default_8bit_quantizers.py; tf.lite.TFLiteConverter, TensorFlow 2.21.
"""

# %% load
import numpy as np

from handbook.data import fashion_mnist
from handbook.keras_qat import CLASSES
from handbook.record import artifact, record, table
from handbook.tflite import quiet, read_tflite

with quiet():
    import tensorflow_model_optimization as tfmot
    import tf_keras
    from ai_edge_litert.interpreter import Interpreter

images = fashion_mnist("test")[0][:500].transpose(0, 2, 3, 1)
FILES = {"default": "default-0", "depthwise per channel": "own-0"}
models, operators = {}, {}
for name, file in FILES.items():
    path = artifact(f"tensorflow/qat_functional_train/{file}.h5")
    with tfmot.quantization.keras.quantize_scope(CLASSES):
        models[name] = tf_keras.models.load_model(path, compile=False)
    kept = read_tflite(artifact(f"tensorflow/qat_functional/{file}.tflite"))
    operators[name] = [o for o in kept if o.name not in ("PAD", "QUANTIZE", "DEQUANTIZE")]

# %% folded
convolutions = [o for o in operators["default"] if "CONV" in o.name]
names = [x.name for x in models["default"].layers if x.name.endswith(".conv")]
equal, ratios, bias_steps = 0, [], {}
for name, (operator, (x, weight, _), y, _) in zip(names, convolutions, strict=True):
    parts = (name, name.replace(".conv", ".bn"))
    found = [w for part in parts for w in models["default"].get_layer(part).weights]
    found = {w.name.split("/")[-1].removeprefix("depthwise_"): w.numpy() for w in found}
    scale = (found["kernel_max:0"] - found["kernel_min:0"]) / 254  # -127 to 127
    integers = np.rint(found["kernel:0"] / scale).transpose(3, 0, 1, 2)
    factor = found["gamma:0"] / np.sqrt(found["moving_variance:0"] + 1e-5)
    negative = np.sign(factor).reshape((-1, 1, 1, 1) if operator == "CONV_2D" else -1)
    equal += int((integers * negative == weight.data).sum())  # a negative factor turns the signs
    ratios.append(weight.scale / (scale * abs(factor)))
    bias_steps[name.removeprefix("quant_")] = x.scale * weight.scale / y.scale
total, ratios = sum(o.inputs[1].data.size for o in convolutions), np.concatenate(ratios)
print(f"{equal} of {total} integers equal, scales within {abs(ratios - 1).max():.0e}")
assert equal > 0.9999 * total and abs(ratios - 1).max() < 1e-5
record(integers=total)

# %% bias
rows = []
for name, steps in bias_steps.items():
    if "depthwise" in name:
        row = {"layer": name.removesuffix(".conv"), "channels": len(steps)}
        row["coarser than half a step of the output"] = int((steps > 0.5).sum())
        rows.append(row | {"coarsest, steps of the output": round(float(steps.max()), 2)})
others = max(steps.max() for name, steps in bias_steps.items() if "depthwise" not in name)
wide = {"coarser than half a step of the output": 4, "coarsest, steps of the output": 4}
ELSEWHERE = "training on another CPU ends elsewhere"
table("bias", rows, tolerance=wide, because=ELSEWHERE)
record(others=round(float(others), 3), tolerance=0.3, because=ELSEWHERE)
assert others < 0.5 < max(row["coarsest, steps of the output"] for row in rows)

# %% activations
LAYERS = "stem.relu separable1.depthwise.relu separable1.pointwise.relu separable2.depthwise.relu "
LAYERS += "separable2.pointwise.relu inverted.expand.relu inverted.depthwise.relu "
LAYERS += "inverted.project.bn add branch1x1.relu branch3x3.relu cat mean classifier"
identical = {}
for name, file in FILES.items():
    with quiet():
        path = artifact(f"tensorflow/qat_functional/{file}.tflite")
        interpreter = Interpreter(str(path), num_threads=1, experimental_preserve_all_tensors=True)
        index = interpreter.get_input_details()[0]["index"]
        interpreter.resize_tensor_input(index, images.shape)
        interpreter.allocate_tensors()
    interpreter.set_tensor(index, images)
    interpreter.invoke()
    outputs = [models[name].get_layer(f"quant_{x}").output for x in LAYERS.split()]
    with quiet():
        fake = tf_keras.Model(models[name].inputs, outputs).predict(images, verbose=0)
    identical[name] = []
    for expected, operator in zip(fake, operators[name], strict=True):
        y = operator.output
        real = (interpreter.get_tensor(y.index).astype(np.float64) - y.zero_point) * y.scale
        identical[name].append(round(100 * float((abs(real - expected) < y.scale / 2).mean()), 2))
names = [x.removesuffix(".relu").removesuffix(".bn") for x in LAYERS.split()]
rows = [{"layer": x} | {n: identical[n][i] for n in identical} for i, x in enumerate(names)]
table("activations", rows, tolerance=dict.fromkeys(identical, 25), because=ELSEWHERE)
assert identical["default"][1] < identical["depthwise per channel"][1] > 95

# %% figure
from handbook.figure import figure, plt

fig, ax = plt.subplots(figsize=(5.4, 4.2))
for (name, shares), marker in zip(identical.items(), "os", strict=True):
    ax.plot(shares, names, marker=marker, label=name)
ax.set(xlabel="identical activations, %", xlim=(None, 101), ylim=(len(names) - 0.5, -0.5))
ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
figure("layers", fig)
