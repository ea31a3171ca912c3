"""Converter quantization that fails, and quantization that silently does not happen.

The error texts, and the sizes of files that are float although int8 was asked for.
Source: tf.lite.TFLiteConverter of TensorFlow 2.21.
"""

# %% load
import numpy as np

from handbook.data import fashion_mnist
from handbook.keras_twin import keras, load_keras_twin  # before TensorFlow: keeps notices away
from handbook.record import expected
from handbook.tflite import quiet
from handbook.tflite_operators import tflite_operators

import tensorflow as tf  # isort: skip

model = load_keras_twin()
images = np.ascontiguousarray(fashion_mnist("train")[0][:100].transpose(0, 2, 3, 1))


def convert(model=model, dataset=images, supported_ops=None, **settings):
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if dataset is not None:
        converter.representative_dataset = lambda: ([image[np.newaxis]] for image in dataset)
    if supported_ops:
        converter.target_spec.supported_ops = supported_ops
    for name, value in settings.items():
        setattr(converter, name, value)
    with quiet():
        return converter.convert()


DEFAULT = {"optimizations": [tf.lite.Optimize.DEFAULT]}
INT8 = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]

# %% no_data
with expected(ValueError, "`representative_dataset` must be specified"):
    convert(dataset=None, supported_ops=INT8, **DEFAULT)

# %% no_optimizations
with expected(ValueError, "must be tf.float32"):
    convert(inference_input_type=tf.int8)  # optimizations were forgotten

# %% float64
with expected(ValueError, "Got value of type FLOAT64 but expected type FLOAT32"):
    convert(dataset=images.astype(np.float64), **DEFAULT)

# %% no_batch
with expected(RuntimeError, "failed to prepare"):
    convert(representative_dataset=lambda: ([image] for image in images), **DEFAULT)

# %% channels_first
with expected(RuntimeError, "Attempting to resize dimension 1"):
    convert(dataset=images.transpose(0, 3, 1, 2), **DEFAULT)

# %% not_callable
with expected(TypeError, "'generator' object is not callable"):
    convert(representative_dataset=([image[np.newaxis]] for image in images), **DEFAULT)

# %% int16_input
with expected(ValueError, "Unsupported `inference_input_type` value"):
    convert(inference_input_type=tf.int16, **DEFAULT)

# %% silent
from handbook.record import table

files = {
    "as it should be": convert(**DEFAULT),
    "optimizations forgotten": convert(supported_ops=INT8),
    "the data set yields nothing": convert(dataset=images[:0], **DEFAULT),
    "the data are NaN": convert(dataset=images * np.nan, **DEFAULT),
}
rows = []
for case, file in files.items():
    integer = [operator.integer for operator in tflite_operators(file)]
    row = {"what": case, "size KiB": round(len(file) / 1024, 1)}
    row |= {"integer operators": sum(integer), "float operators": len(integer) - sum(integer)}
    rows.append(row)
table("silent", rows, tolerance={"size KiB": 5}, because="a version writes more or fewer names")
assert [row["float operators"] for row in rows] == [0, 16, 16, 14]

# %% stays_float
elu = keras.Sequential(
    [
        keras.layers.Input((28, 28, 1)),
        keras.layers.Conv2D(4, 3, activation="elu"),
        keras.layers.Conv2D(4, 3),
    ]
)
operators = tflite_operators(convert(elu, supported_ops=INT8, **DEFAULT), conversions=True)
for operator in operators:
    print(f"{operator.name:12} {operator.output}")
assert [operator.name for operator in operators if not operator.integer] == [
    "DEQUANTIZE",
    "ELU",
    "DEQUANTIZE",
]
