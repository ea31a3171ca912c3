"""Batch normalization that is not folded: from PyTorch by ONNX to Keras, and into QAT.

The exporter is told not to optimize, so that each BatchNormalization becomes a Keras layer. tfmot
folds them in training; the trained model becomes int8 TFLite.
Source: torch.onnx.export of PyTorch 2.13, optimize=False; tfmot 0.8.1.
"""

# %% load
import logging
import os
import warnings

import numpy as np
import torch

from handbook.data import fashion_mnist
from handbook.onnx_to_keras import onnx_to_keras
from handbook.record import artifact
from handbook.running_example import load_running_example
from handbook.tflite import quiet

os.environ["TF_USE_LEGACY_KERAS"] = "1"  # the converter to TFLite, too, then expects Keras 2
with quiet():
    import tensorflow as tf
    import tensorflow_model_optimization as tfmot
    import tf_keras

logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # torchvision's operators are skipped
warnings.filterwarnings("ignore", "`isinstance.treespec, LeafSpec.` is deprecated")
train_images, train_labels = fashion_mnist("train")
train_images = np.ascontiguousarray(np.moveaxis(train_images[:2560], 1, 3))
test_images, labels = fashion_mnist("test")

# %% export
path = artifact("conversion/onnx_to_keras_batch_norm/running_example.onnx")
torch.onnx.export(
    load_running_example(),
    (torch.from_numpy(test_images[:2]),),
    path,
    dynamic_shapes=({0: torch.export.Dim("batch")},),
    optimize=False,  # folds nothing
    verbose=False,
)
float_model = onnx_to_keras(path, keras=tf_keras)
layers = [layer for layer in float_model.layers if "BatchNorm" in type(layer).__name__]
print([layer.name for layer in layers][:3], len(layers))
assert len(layers) == 10

# %% train
test_images = np.ascontiguousarray(np.moveaxis(test_images, 1, 3))
tf_keras.utils.set_random_seed(0)
with quiet():
    model = tfmot.quantization.keras.quantize_model(float_model)
    loss = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(tf_keras.optimizers.SGD(0.002, momentum=0.9), loss)
    model.fit(train_images, train_labels[: len(train_images)], batch_size=128, verbose=0)
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    tflite_path = path.with_name("int8.tflite")
    tflite_path.write_bytes(converter.convert())

# %% results
from handbook.measure import score
from handbook.record import table
from handbook.tflite import run_tflite
from handbook.tflite_kinds import tflite_kinds

before = float_model.predict(test_images, batch_size=500, verbose=0)
logits = {"converted, float": before, "QAT, int8 TFLite": run_tflite(tflite_path, test_images)}
rows = [{"model": name} | score(x, labels, before) for name, x in logits.items()]
wide = {"accuracy %": 3, "95 % interval": 3, "same answer as float %": 4}
table("results", rows, tolerance=wide, because="training on another CPU ends elsewhere")
kinds = tflite_kinds(tflite_path.read_bytes(), dynamic=False)
print(f"operators in int8: {kinds.count('int8')} of {len(kinds)}")
assert rows[1]["accuracy %"] > 85 and set(kinds) == {"int8"}
