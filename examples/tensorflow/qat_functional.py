"""Keras Functional: the trained QAT models, their int8 files, and the control.

The models of qat_functional_train.py are loaded, converted without any images, and run on all
10 000 test images, beside the float control with quantization after training.
Source: tf.lite.TFLiteConverter, TensorFlow 2.21; tfmot.quantization.keras.quantize_scope.
"""

# %% load
import os

import numpy as np

from handbook.data import fashion_mnist
from handbook.keras_qat import CLASSES
from handbook.keras_twin import load_keras_twin
from handbook.measure import accuracy
from handbook.record import artifact
from handbook.tflite import quiet, run_tflite

os.environ["TF_USE_LEGACY_KERAS"] = "1"  # tf.keras is Keras 2, the package tf_keras
with quiet():
    import tensorflow as tf
    import tensorflow_model_optimization as tfmot
    import tf_keras

calibration_images = fashion_mnist("train")[0][:200].transpose(0, 2, 3, 1)
test_images, labels = fashion_mnist("test")
test_images = test_images.transpose(0, 2, 3, 1)

# %% convert
with tfmot.quantization.keras.quantize_scope(CLASSES):  # or load_model does not know the layers
    file = artifact("tensorflow/qat_functional_train/default-0.h5")
    qat_model = tf_keras.models.load_model(file, compile=False)
converter = tf.lite.TFLiteConverter.from_keras_model(qat_model)
converter.optimizations = [tf.lite.Optimize.DEFAULT]
with quiet():
    int8 = converter.convert()  # no representative data set: the ranges are in the model
print(f"{len(int8) / 1024:.0f} KiB")


# %% all
def run(name, model=None):
    path = artifact(f"tensorflow/qat_functional/{name}.tflite")
    if model is None:
        with tfmot.quantization.keras.quantize_scope(CLASSES):
            file = artifact(f"tensorflow/qat_functional_train/{name}.h5")
            model = tf_keras.models.load_model(file, compile=False)
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if name.startswith("float"):  # quantization after training has no ranges yet
        converter.representative_dataset = lambda: ([x[None]] for x in calibration_images)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    with quiet():  # TensorFlow mentions that each model makes a function of its own
        path.write_bytes(converter.convert())
        in_keras = model.predict(test_images, batch_size=500, verbose=0)
    outputs = {"in_keras": in_keras, "int8": run_tflite(path, test_images)}
    np.savez(path.with_suffix(".npz"), **outputs)  # for qat_functional_agreement.py
    return [accuracy(logits, labels).percent for logits in outputs.values()]


scores = {"float, not trained on": [run("float-loaded", load_keras_twin(tf_keras))]}
scores["float, trained on"] = [run(f"float-{seed}") for seed in range(3)]
scores["QAT, default"] = [run(f"default-{seed}") for seed in range(3)]
scores["QAT, depthwise per channel"] = [run(f"own-{seed}") for seed in range(3)]

# %% results
from handbook.keras_qat import mean_interval
from handbook.record import record, table

rows, int8 = [], {}
for name, runs in scores.items():
    for where, found in zip(("in Keras", "int8 file"), zip(*runs, strict=True), strict=True):
        mean, half_width = mean_interval(found) if len(found) > 1 else (found[0], "")
        row = {"model": name, "where": where, "runs": len(runs), "accuracy, mean %": mean}
        row["95 % interval, \N{PLUS-MINUS SIGN}"] = str(half_width)
        rows.append(row | {"lowest to highest, %": f"{min(found):.2f} to {max(found):.2f}"})
        int8[name] = np.array(found)  # the last is the file
ELSEWHERE = "training on another CPU ends elsewhere"
table("results", rows, tolerance={key: 3 for key in list(rows[0])[3:]}, because=ELSEWHERE)
for name, kind in {"default": "QAT, default", "own": "QAT, depthwise per channel"}.items():
    gain, half_width = mean_interval(int8[kind] - int8["float, trained on"])
    print(
        f"{kind}, minus the control, seed by seed: {gain} \N{PLUS-MINUS SIGN} {half_width} points"
    )
    numbers = {f"{name}_gain": gain, f"{name}_half_width": half_width}
    record(**numbers, tolerance=3, because=ELSEWHERE)
    assert abs(gain) < 1.5  # 8 bits need no training
