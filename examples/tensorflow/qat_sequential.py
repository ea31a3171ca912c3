"""Keras Sequential: quantization aware training with tfmot, and the int8 file.

The trunk of the running example is trained on with fake quantization and, as a control, in float:
the same batches, three seeds. Each is converted, and run on all 10 000 test images.
Source: tfmot.quantization.keras.quantize_model, TensorFlow Model Optimization 0.8.1.
"""

# %% load
import os

import numpy as np

from handbook.data import fashion_mnist
from handbook.keras_qat import mean_interval, train
from handbook.record import artifact
from handbook.tflite import quiet

os.environ["TF_USE_LEGACY_KERAS"] = "1"  # tf.keras is Keras 2, the package tf_keras
with quiet():
    import tensorflow as tf
    import tensorflow_model_optimization as tfmot
    import tf_keras

tf.config.threading.set_intra_op_parallelism_threads(1)  # more threads sum in another order
tf.config.experimental.enable_op_determinism()
train_images, train_labels = fashion_mnist("train")
test_images, labels = fashion_mnist("test")
train_images, test_images = (x.transpose(0, 2, 3, 1) for x in (train_images, test_images))

# %% quantize
float_model = tf_keras.models.load_model(artifact("tensorflow/qat_sequential_float/float.h5"))
qat_model = tfmot.quantization.keras.quantize_model(float_model)
for layer in qat_model.layers[:4]:
    print(f"{layer.name:20} {type(layer).__name__}")

# %% untrained
from handbook.measure import accuracy


def predict(model):
    return model.predict(test_images, batch_size=500, verbose=0)


untrained = accuracy(predict(qat_model), labels).percent
print(f"float {accuracy(predict(float_model), labels).percent} %, QAT, untrained {untrained} %")

# %% convert
from handbook.tflite import run_tflite


def to_tflite(model, name, calibration_images=None):
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if calibration_images is not None:  # PTQ needs them; a QAT model has its ranges
        converter.representative_dataset = lambda: ([x[None]] for x in calibration_images)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    path = artifact(f"tensorflow/qat_sequential/{name}.tflite")
    with quiet():
        path.write_bytes(converter.convert())
    return path


# %% train
from collections import defaultdict

loss = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)
for model in (float_model, qat_model):
    model.compile(tf_keras.optimizers.legacy.SGD(momentum=0.9, nesterov=True), loss)
starts = float_model.get_weights(), qat_model.get_weights()
some, data = train_images[:200], (train_images, train_labels)
ptq = to_tflite(float_model, "ptq", some)
runs = defaultdict(list, {"float, loaded": [predict(float_model)]})
runs["float, loaded, then PTQ: int8"] = [run_tflite(ptq, test_images)]
for seed in range(3):
    control = train(float_model, starts[0], *data, seed)
    runs["float, trained on"].append(predict(control))
    ptq = to_tflite(control, f"control-{seed}", some)
    runs["float, trained on, then PTQ: int8"].append(run_tflite(ptq, test_images))
    trained = train(qat_model, starts[1], *data, seed)
    runs["QAT, in Keras"].append(predict(trained))
    path = to_tflite(trained, f"qat-{seed}")  # no images: the ranges are in the model
    runs["QAT: int8"].append(run_tflite(path, test_images))

# %% results
from handbook.record import record, table

rows, scores = [], {name: [accuracy(y, labels).percent for y in ys] for name, ys in runs.items()}
for name, found in scores.items():
    mean, half_width = mean_interval(found) if len(found) > 1 else (found[0], "")
    row = {"model": name, "runs": len(found), "accuracy, mean %": mean}
    row["95 % interval, \N{PLUS-MINUS SIGN}"] = str(half_width)
    rows.append(row | {"lowest to highest, %": f"{min(found):.2f} to {max(found):.2f}"})
ELSEWHERE = "training on another CPU ends elsewhere"
table("results", rows, tolerance={key: 3 for key in list(rows[0])[2:]}, because=ELSEWHERE)
*_, controls, _, qat = scores.values()
gain, half_width = mean_interval([a - b for a, b in zip(qat, controls, strict=True)])
record(gain=gain, half_width=half_width, tolerance=3, because=ELSEWHERE)
last_run = {name: ys[-1] for name, ys in runs.items()}
np.savez(artifact("tensorflow/qat_sequential/logits.npz"), **last_run)
assert untrained < 15 and abs(gain) < 1.5
