"""From a Keras 3 model to six TFLite files.

Float32, float16, dynamic range, int8, int8 with int8 input and output, and 16x8, by the converter:
accuracy on all test images, agreement with float, size, operators in integers, and latency.
Source: tf.lite.TFLiteConverter; TensorFlow Lite, post-training quantization.
"""

# %% load
import copy

import numpy as np

from handbook.data import fashion_mnist
from handbook.keras_twin import load_keras_twin  # before TensorFlow: it keeps the notices away
from handbook.record import artifact
from handbook.tflite import quiet

import tensorflow as tf  # isort: skip

model = load_keras_twin()  # a Keras 3 model
(train_images, _), (test_images, labels) = fashion_mnist("train"), fashion_mnist("test")
train_images, test_images = (
    np.ascontiguousarray(images.transpose(0, 2, 3, 1)) for images in (train_images, test_images)
)


# %% representative_dataset
def representative_dataset():
    for image in train_images[:1000]:
        yield [image[np.newaxis]]  # a list of inputs, float32, with the batch


# %% float32
converters = {"float32": tf.lite.TFLiteConverter.from_keras_model(model)}

# %% float16
converter = tf.lite.TFLiteConverter.from_keras_model(model)
converter.optimizations = [tf.lite.Optimize.DEFAULT]
converter.target_spec.supported_types = [tf.float16]
converters["float16"] = converter

# %% dynamic
converter = tf.lite.TFLiteConverter.from_keras_model(model)
converter.optimizations = [tf.lite.Optimize.DEFAULT]  # and no data
converters["dynamic range"] = converter

# %% int8
converter = tf.lite.TFLiteConverter.from_keras_model(model)
converter.optimizations = [tf.lite.Optimize.DEFAULT]
converter.representative_dataset = representative_dataset
converters["int8"] = converter

# %% int8_io
converter = copy.copy(converter)  # the same, and
converter.inference_input_type = converter.inference_output_type = tf.int8
converters["int8, also in and out"] = converter

# %% int16x8
converter = tf.lite.TFLiteConverter.from_keras_model(model)
converter.optimizations = [tf.lite.Optimize.DEFAULT]
converter.representative_dataset = representative_dataset
converter.target_spec.supported_ops = [
    tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
]
converters["16x8"] = converter

# %% convert
paths = {}
for name, converter in converters.items():
    paths[name] = artifact(f"tensorflow/ptq/{name.replace(',', '').replace(' ', '_')}.tflite")
    with quiet():  # a page of progress
        paths[name].write_bytes(converter.convert())

# %% run
from handbook.tflite_operators import Runner

runners = {name: Runner(path) for name, path in paths.items()}
logits = {name: runner(test_images) for name, runner in runners.items()}

# %% results
from functools import partial

from handbook.measure import SCORE_TOLERANCE, file_size_kib, latency, score, speedup
from handbook.record import TIMING, table
from handbook.tflite_operators import tflite_operators

image = test_images[:1]
times = latency({name: partial(r.raw, r.quantize(image)) for name, r in runners.items()})
rows = []
for name, path in paths.items():
    integer = [operator.integer for operator in tflite_operators(path)]
    row = {"file": name} | score(logits[name], labels, logits["float32"])
    row |= {"size KiB": file_size_kib(path), "integer operators": sum(integer)}
    row |= {"float operators": len(integer) - sum(integer)}
    rows.append(row | {"times as fast": speedup(times["float32"], times[name])})
tolerance = SCORE_TOLERANCE["tolerance"] | {"size KiB": 1, "times as fast": TIMING}
table("results", rows, tolerance=tolerance, because=SCORE_TOLERANCE["because"])
assert all(row["accuracy %"] > rows[0]["accuracy %"] - 1 for row in rows)
assert [row["float operators"] for row in rows[3:]] == [0, 0, 0]
assert rows[5]["times as fast"] < 0.5  # 16x8 has the reference loop alone, on any CPU
