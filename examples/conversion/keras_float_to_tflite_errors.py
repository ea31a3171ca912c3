"""Quantizing a Keras model that came from ONNX: what goes wrong with the layout and the data.

Calibration data in ONNX's layout, and data without the normalization that the network was trained
with: two errors, and one loss of accuracy that nothing announces.
Source: tf.lite.TFLiteConverter (TensorFlow 2.21); ai_edge_quantizer 0.10.
"""

# %% load
import numpy as np
from ai_edge_quantizer import quantizer, recipe

from handbook.data import fashion_mnist
from handbook.keras_twin import keras  # before TensorFlow: it keeps the notices away
from handbook.record import artifact, expected, record
from handbook.tflite import quiet

import tensorflow as tf  # isort: skip

path = artifact("conversion/onnx_float_to_keras_float/running_example.keras")
float_path = str(artifact("conversion/keras_float_to_tflite_quantized/float32.tflite"))
model = keras.models.load_model(path)
nchw = fashion_mnist("train")[0][:200]


def convert(images):
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([image[np.newaxis]] for image in images)
    with quiet():
        return converter.convert()


# %% layout_converter
with expected(RuntimeError, "Attempting to resize dimension 1 of tensor 0"):
    convert(nchw)

# %% layout_quantizer
static = quantizer.Quantizer(float_path, recipe.static_wi8_ai8())
with expected(RuntimeError, "failed to prepare"), quiet():
    static.calibrate({"serving_default": [{"images": nchw[:1]}]})

# %% not_normalized
from handbook.measure import accuracy
from handbook.tflite_operators import Runner

test_images, labels = fashion_mnist("test")
test_images = np.ascontiguousarray(test_images.transpose(0, 2, 3, 1))
pixels = fashion_mnist("train", raw=True)[0][:200, ..., np.newaxis]
results = {}
for name, images in {
    "normalized, as in training": nchw.transpose(0, 2, 3, 1),
    "pixels from 0 to 255": pixels.astype(np.float32),
    "pixels from 0 to 1": pixels.astype(np.float32) / 255,
}.items():
    file = artifact("conversion/keras_float_to_tflite_errors/int8.tflite")
    file.write_bytes(convert(images))
    results[name] = accuracy(Runner(file)(test_images), labels).percent
    print(f"{name:28} {results[name]:.1f} %")
right, large, small = results.values()
KERNELS = "another CPU's kernels round and sum in another order"
record(right=right, large=large, small=small, tolerance=10, because=KERNELS)
assert right > 89 and large < 50 and small < 50
