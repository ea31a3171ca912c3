"""ONNX float to Keras float.

The exported running example becomes a Keras model of native, trainable layers, for Keras 3 and for
tf_keras. It is reloaded from its .keras file, and compared on all 10 000 test images.
Source: ONNX operators, opset 20; run with Keras 3 and tf_keras.
"""

# %% load
import numpy as np

from handbook.data import fashion_mnist
from handbook.keras_twin import keras  # Keras 3; before TensorFlow: it keeps the notices away
from handbook.record import artifact
from handbook.tflite import quiet

with quiet():
    import tf_keras  # Keras 2, which tfmot needs

onnx_path = artifact("conversion/pytorch_float_to_onnx_float/running_example.onnx")
keras_path = artifact("conversion/onnx_float_to_keras_float/running_example.keras")
test_images, labels = fashion_mnist("test")

# %% convert
from handbook.onnx_to_keras import onnx_to_keras

model = onnx_to_keras(onnx_path)  # compares itself with ONNX Runtime, or raises ValueError
print(model.input_shape, "->", model.output_shape)

# %% layers
for layer in model.layers[:5] + model.layers[-3:]:
    print(f"{layer.name:28} {type(layer).__name__}")
assert all(type(layer).__module__.startswith("keras.src.layers") for layer in model.layers)
assert not any("Lambda" in type(layer).__name__ for layer in model.layers)

# %% reload
model.save(keras_path)
model = keras.models.load_model(keras_path)  # needs no code of ours
weights = {"trainable": model.trainable_weights, "other": model.non_trainable_weights}
print({name: sum(w.shape.num_elements() for w in ws) for name, ws in weights.items()})
assert not model.non_trainable_weights

# %% tf_keras
tf_keras_path = keras_path.with_name("running_example_tf_keras.keras")
onnx_to_keras(onnx_path, keras=tf_keras).save(tf_keras_path)
tf_keras_model = tf_keras.models.load_model(tf_keras_path)

# %% run
import onnxruntime

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(onnx_path, options)
(onnx_logits,) = session.run(None, {"images": test_images})
nhwc_images = np.ascontiguousarray(test_images.transpose(0, 2, 3, 1))
logits = {
    "Keras 3": model.predict(nhwc_images, batch_size=500, verbose=0),
    "tf_keras": tf_keras_model.predict(nhwc_images, batch_size=500, verbose=0),
}

# %% results
from handbook.measure import SCORE_TOLERANCE, file_size_kib, latency, score, speedup
from handbook.record import TIMING, table

with quiet():
    import tensorflow as tf

image = test_images[:1]
compiled = {name: tf.function(m) for name, m in (("Keras 3", model), ("tf_keras", tf_keras_model))}
calls = {name: lambda f=f: f(tf.constant(nhwc_images[:1])) for name, f in compiled.items()}
times = latency(calls | {"ONNX Runtime": lambda: session.run(None, {"images": image})})
files = {"ONNX Runtime": onnx_path, "Keras 3": keras_path, "tf_keras": tf_keras_path}
rows = []
for name, x in ({"ONNX Runtime": onnx_logits} | logits).items():
    row = {"model": name} | score(x, labels, onnx_logits)
    row["largest difference"] = float(f"{abs(x - onnx_logits).max():.1g}")
    row["size KiB"] = file_size_kib(files[name])
    rows.append(row | {"latency / ONNX Runtime's": speedup(times[name], times["ONNX Runtime"])})
assert all(row["largest difference"] < 1e-4 for row in rows)
assert all(row["same answer as float %"] == 100 for row in rows)
wide = SCORE_TOLERANCE["tolerance"] | {"largest difference": 1e-4, "size KiB": 3}
wide["latency / ONNX Runtime's"] = TIMING
table("results", rows, tolerance=wide, because="float32 sums in another order; zip files")

# %% edge
from handbook.conversions import conversions, parity

edge = parity(logits["Keras 3"], onnx_logits, labels) | {"size KiB": file_size_kib(keras_path)}
key = ("ONNX, float", "Keras, float", "handbook.onnx_to_keras")
conversions({key: edge}, because="float32 sums in another order on another CPU")
