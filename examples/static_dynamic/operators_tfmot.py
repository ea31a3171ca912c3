"""Which layers does tfmot quantize?

tf_keras models of one layer each go through quantize_model, tfmot's quantization aware training
with its defaults, and through the TFLite converter. The types in the file are what counts.
Source: tfmot.quantization.keras.quantize_model of TensorFlow Model Optimization 0.8.1.
"""

# %% load
import json

from handbook.findings import examine, rows
from handbook.one_keras_layer import keras_layers, one_keras_layer
from handbook.record import artifact, table
from handbook.tflite import quiet
from handbook.tflite_kinds import tflite_kinds

with quiet():
    import tensorflow as tf
    import tensorflow_model_optimization as tfmot
    import tf_keras

layers = keras_layers(tf_keras, unroll=True)


# %% quantize
def kinds(name):
    with quiet():
        model, inputs = one_keras_layer(layers, name, tf_keras)
        trainable = tfmot.quantization.keras.quantize_model(model)
        trainable(inputs, training=True)  # one step, which sets the ranges
        converter = tf.lite.TFLiteConverter.from_keras_model(trainable)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        return tflite_kinds(converter.convert(), dynamic=False)


# %% results
columns = {}
columns["tfmot QAT"], failed = examine(layers, kinds)
table("results", rows(columns))
results = artifact("static_dynamic/operators_tfmot/results.json")
results.write_text(json.dumps(columns))

# %% errors
table("errors", [{"layer": name, "error": text} for name, text in failed.items()])
assert columns["tfmot QAT"]["Conv2d"] == "int8" and columns["tfmot QAT"]["LSTM"] == "error"
