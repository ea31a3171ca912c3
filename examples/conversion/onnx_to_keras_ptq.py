"""A model converted from ONNX to Keras goes on to int8 TFLite.

The .keras file is reloaded, converted with a representative data set, and run: accuracy on all
10 000 test images, size, speed, and which operators compute in integers.
Source: tf.lite.TFLiteConverter of TensorFlow 2.21.
"""

# %% load
import numpy as np

from handbook.data import fashion_mnist
from handbook.keras_twin import keras  # before TensorFlow: it keeps the notices away
from handbook.record import artifact
from handbook.tflite import quiet

import tensorflow as tf  # isort: skip

calibration_images = np.moveaxis(fashion_mnist("train")[0][:500], 1, 3)
test_images, labels = fashion_mnist("test")
test_images = np.ascontiguousarray(np.moveaxis(test_images, 1, 3))
model = keras.models.load_model(
    artifact("conversion/onnx_float_to_keras_float/running_example.keras")
)

# %% quantize
paths = {
    name: artifact(f"conversion/onnx_to_keras_ptq/{name}.tflite") for name in ("float", "int8")
}
for name, path in paths.items():
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if name == "int8":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([x[None]] for x in calibration_images)
    with quiet():  # pages of progress
        path.write_bytes(converter.convert())

# %% results
from ai_edge_litert.interpreter import Interpreter

from handbook.measure import SCORE_TOLERANCE, file_size_kib, latency, score, speedup
from handbook.record import TIMING, table
from handbook.tflite import run_tflite
from handbook.tflite_kinds import tflite_kinds

logits, calls = {}, {}
for name, path in paths.items():
    logits[name] = run_tflite(path, test_images)
    with quiet():
        interpreter = Interpreter(str(path), num_threads=1)
        interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], test_images[:1])
    calls[name] = interpreter.invoke
times = latency(calls)
keras_logits = model.predict(test_images, batch_size=500, verbose=0)
rows = []
for name, path in paths.items():
    row = {"TFLite file": name} | score(logits[name], labels, keras_logits)
    kinds = tflite_kinds(path.read_bytes(), dynamic=False)
    row |= {"integer operators": kinds.count("int8"), "float operators": kinds.count("float")}
    row["size KiB"] = file_size_kib(path)
    rows.append(row | {"times as fast as float": speedup(times["float"], times[name])})
wide = SCORE_TOLERANCE["tolerance"] | {"size KiB": 1, "times as fast as float": TIMING}
table("results", rows, tolerance=wide, because=SCORE_TOLERANCE["because"])
assert rows[0]["same answer as float %"] > 99.9
assert rows[1]["float operators"] == 0 and rows[1]["accuracy %"] > rows[0]["accuracy %"] - 1
