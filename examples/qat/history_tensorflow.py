"""Quantization aware training in TensorFlow today: tfmot with Keras 2, and what is gone.

tf.contrib.quantize of 2018, and Keras 3, which tfmot does not know.
Source: run with TensorFlow, tfmot and tf_keras as installed; dates are in history_tools.py.
"""

# %% load
import os

from handbook.record import expected, table
from handbook.tflite import quiet

os.environ["TF_USE_LEGACY_KERAS"] = "1"  # tf.keras is Keras 2, the package tf_keras
with quiet():
    import keras
    import tensorflow as tf
    import tensorflow_model_optimization as tfmot
    import tf_keras


# %% tfmot
def float_model(keras):
    dense = [keras.layers.Dense(32, activation="relu"), keras.layers.Dense(10)]
    return keras.Sequential([keras.Input((64,)), *dense])


with quiet():
    model = tfmot.quantization.keras.quantize_model(float_model(tf_keras))
table("layers", [{"layer": x.name, "class": type(x).__name__} for x in model.layers])
assert [layer.name for layer in model.layers] == ["quantize_layer", "quant_dense", "quant_dense_1"]

# %% keras3
print("Keras", keras.__version__)
with expected(ValueError, "`to_quantize` can only either be a keras Sequential"):
    tfmot.quantization.keras.quantize_model(float_model(keras))

# %% contrib
with expected(AttributeError, "module 'tensorflow' has no attribute 'contrib'"):
    tf.contrib.quantize.create_training_graph()
with expected(AttributeError, "has no attribute 'contrib'"):
    tf.compat.v1.contrib.quantize.create_training_graph()
