"""Quantization aware training of a model that was converted from ONNX.

Converted for tf_keras, wrapped by tfmot, trained briefly on real data, and written as int8 TFLite.
Accuracy on all 10 000 test images before and after each step, and a control trained in float.
Source: tfmot.quantization.keras.quantize_model of TensorFlow Model Optimization 0.8.1.
"""

# %% load
import os

import numpy as np

from handbook.data import fashion_mnist
from handbook.onnx_to_keras import onnx_to_keras
from handbook.record import artifact
from handbook.tflite import quiet

os.environ["TF_USE_LEGACY_KERAS"] = "1"  # the converter to TFLite, too, then expects Keras 2
with quiet():
    import tensorflow as tf
    import tensorflow_model_optimization as tfmot
    import tf_keras

onnx_path = artifact("conversion/pytorch_float_to_onnx_float/running_example.onnx")
train_images, train_labels = fashion_mnist("train")
test_images, labels = fashion_mnist("test")
train_images, test_images = (
    np.ascontiguousarray(np.moveaxis(x, 1, 3)) for x in (train_images[:3840], test_images)
)

# %% quantize
float_model = onnx_to_keras(onnx_path, keras=tf_keras)
with quiet():
    model = tfmot.quantization.keras.quantize_model(float_model)  # copies the weights
kinds = sorted({type(layer).__name__ for layer in model.layers})
print(kinds)
assert kinds == ["InputLayer", "QuantizeLayer", "QuantizeWrapperV2"]


# %% train
def train(model):
    tf_keras.utils.set_random_seed(0)
    loss = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(tf_keras.optimizers.SGD(0.002, momentum=0.9), loss)
    with quiet():
        model.fit(train_images, train_labels[: len(train_images)], batch_size=128, verbose=0)


def predict(model):
    return model.predict(test_images, batch_size=500, verbose=0)


before = predict(float_model)
logits = {"converted, float": before, "QAT, not trained": predict(model)}
train(model)
train(float_model)
logits |= {"float, trained": predict(float_model), "QAT, trained": predict(model)}

# %% convert
converter = tf.lite.TFLiteConverter.from_keras_model(model)
converter.optimizations = [tf.lite.Optimize.DEFAULT]  # no data: the ranges were trained
path = artifact("conversion/onnx_to_keras_qat/int8.tflite")
with quiet():  # pages of progress
    path.write_bytes(converter.convert())

# %% results
from handbook.measure import file_size_kib, score
from handbook.record import table
from handbook.tflite import read_tflite, run_tflite
from handbook.tflite_kinds import tflite_kinds

logits["int8 TFLite"] = run_tflite(path, test_images)
rows = [{"model": name} | score(x, labels, before) for name, x in logits.items()]
wide = {"accuracy %": 3, "95 % interval": 3, "same answer as float %": 3}
TRAINED = "training on another CPU ends elsewhere"
table("results", rows, tolerance=wide, because=TRAINED)
percent = {row["model"]: row["accuracy %"] for row in rows}
assert percent["QAT, trained"] > 85 and percent["QAT, not trained"] < 50
assert abs(percent["int8 TFLite"] - percent["QAT, trained"]) < 1

# %% edges
from handbook.conversions import conversions, parity

kinds = tflite_kinds(path.read_bytes(), dynamic=False)
scale = next(op for op in reversed(read_tflite(path)) if op.name == "FULLY_CONNECTED").output.scale
trained = parity(logits["QAT, trained"], before, labels)
int8 = parity(logits["int8 TFLite"], logits["QAT, trained"], labels, scale)
int8 |= {"integer operators": kinds.count("int8"), "float operators": kinds.count("float")}
int8["size KiB"] = file_size_kib(path)
rows = {("Keras, float", "Keras, QAT", "tfmot, quantize_model and training"): trained}
rows[("Keras, QAT", "TFLite, int8", "TFLiteConverter")] = int8
conversions(rows, because=TRAINED)
assert kinds and set(kinds) == {"int8"}
