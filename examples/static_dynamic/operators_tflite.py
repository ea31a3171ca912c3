"""Which layers does the TFLite converter quantize?

Keras models of one layer each, converted twice: full int8 and dynamic range. The types of the
tensors at each operator are read from the file; then the file is run.
Source: tf.lite.TFLiteConverter of TensorFlow 2.21; the schema of ai_edge_litert.
"""

# %% load
import json

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from handbook.findings import examine, rows
from handbook.one_keras_layer import keras_layers, one_keras_layer
from handbook.record import artifact, table
from handbook.tflite import quiet
from handbook.tflite_kinds import tflite_kinds

with quiet():
    import tensorflow as tf

layers = keras_layers(unroll=True)  # a recurrent layer as its steps, not as a loop


# %% convert
def convert(model, inputs):
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if way == "static":
        converter.representative_dataset = lambda: iter([inputs])
    return converter.convert()


# %% run
def run(file, inputs):
    interpreter = Interpreter(model_content=file, num_threads=1)
    interpreter.allocate_tensors()
    for details, x in zip(interpreter.get_input_details(), inputs, strict=True):
        interpreter.set_tensor(details["index"], x)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def kinds(name):
    with quiet():
        model, inputs = one_keras_layer(layers, name)
        file = convert(model, inputs)
        files[way, name] = file, inputs
        assert np.isfinite(run(file, inputs)).all()
    return tflite_kinds(file, dynamic=way == "dynamic")


# %% results
columns, files = {}, {}
for way in ("static", "dynamic"):
    columns[f"TFLite {way}"], errors = examine(layers, kinds)
    assert not errors, errors
table("results", rows(columns))
results = artifact("static_dynamic/operators_tflite/results.json")
results.write_text(json.dumps(columns))

# %% integers_inside
# A change far below one step of an input changes nothing if, and only if, the input is quantized.
same = []
for name in ("Linear", "Conv2d", "Conv2d, depthwise", "ConvTranspose2d", "LSTM", "MatMul"):
    file, inputs = files["dynamic", name]
    nudged = [np.where(np.abs(x) < np.abs(x).max() / 2, x * (1 + 1e-5), x) for x in inputs]
    with quiet():
        equal = bool((run(file, inputs) == run(file, nudged)).all())
    same.append({"layer": name, "input is quantized": "yes" if equal else "no"})
table("integers_inside", same)
assert [row["input is quantized"] for row in same] == ["yes"] * 5 + ["no"]
