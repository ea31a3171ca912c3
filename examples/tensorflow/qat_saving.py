"""Saving and loading a QAT model: four formats, with quantize_scope and without.

A fresh QAT model, Sequential and Functional, is saved and loaded again, and its outputs compared.
Source: tfmot.quantization.keras.quantize_scope, tfmot 0.8.1; tf_keras 2.21.
"""

# %% load
import os

import numpy as np

from handbook.data import fashion_mnist
from handbook.keras_twin import load_keras_twin
from handbook.record import artifact, expected, table
from handbook.tflite import quiet

os.environ["TF_USE_LEGACY_KERAS"] = "1"  # tf.keras is Keras 2, the package tf_keras
with quiet():
    import tensorflow_model_optimization as tfmot
    import tf_keras

quantize_scope = tfmot.quantization.keras.quantize_scope
images = fashion_mnist("test")[0][:500].transpose(0, 2, 3, 1)
sequential = tf_keras.models.load_model(artifact("tensorflow/qat_sequential_float/float.h5"))
models = {"Sequential": sequential, "Functional": load_keras_twin(tf_keras)}
models = {name: tfmot.quantization.keras.quantize_model(m) for name, m in models.items()}
outputs = {name: model(images) for name, model in models.items()}

# %% save
for name, model in models.items():
    with quiet():  # Keras calls .h5 legacy, and finds the models not compiled
        model.save(f"{name}.h5")
        model.save(f"{name}.keras")
        model.save(f"{name}-folder")  # a SavedModel
        model.save_weights(f"{name}.weights.h5")

# %% h5
with quantize_scope():
    loaded = tf_keras.models.load_model("Functional.h5", compile=False)
assert np.array_equal(loaded(images), outputs["Functional"])
loaded = tfmot.quantization.keras.quantize_model(load_keras_twin(tf_keras))
loaded.load_weights("Functional.weights.h5")  # no scope: the code makes the layers
assert np.array_equal(loaded(images), outputs["Functional"])

# %% no_scope
with expected(ValueError, "Unknown layer: 'QuantizeLayer'"):
    tf_keras.models.load_model("Functional.h5", compile=False)

# %% keras
with expected(ValueError, "expected 5 variables, but received 3 variables"), quantize_scope():
    tf_keras.models.load_model("Functional.keras", compile=False)

# %% keras_no_scope
with expected(TypeError, "'str' object is not callable"):
    tf_keras.models.load_model("Functional.keras", compile=False)
with expected(TypeError, "The added layer must be an instance of class Layer"):
    tf_keras.models.load_model("Sequential.keras", compile=False)

# %% results
from contextlib import nullcontext

rows = []
for ending, label in {".h5": ".h5", ".keras": ".keras", "-folder": "SavedModel"}.items():
    for how, scope in {"alone": nullcontext, "in quantize_scope": quantize_scope}.items():
        row = {"format": label, "load_model": how}
        for name in models:
            try:
                with quiet(), scope():
                    loaded = tf_keras.models.load_model(name + ending, compile=False)
                same = np.array_equal(loaded(images), outputs[name])
                row[name] = "same outputs" if same else "other outputs"
            except (TypeError, ValueError) as error:
                row[name] = type(error).__name__
        rows.append(row)
table("results", rows)
good = [(r["format"], r["load_model"]) for r in rows if r["Functional"] == "same outputs"]
assert (".h5", "in quantize_scope") in good and ".keras" not in [label for label, _ in good]
