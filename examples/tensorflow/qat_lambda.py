"""A Lambda layer stays in float, with a warning and no error.

tfmot leaves the layer alone, and the file goes from int8 to float and back around it.
Source: tfmot 0.8.1, quantize_annotate_model in quantize.py.
"""

# %% load
import os
import warnings

from handbook.keras_twin import keras  # noqa: F401 (first: it silences TensorFlow's notices)
from handbook.tflite import quiet

os.environ["TF_USE_LEGACY_KERAS"] = "1"  # tf.keras is Keras 2, the package tf_keras
with quiet():
    import tensorflow as tf
    import tensorflow_model_optimization as tfmot
    import tf_keras

# %% warning
layers = tf_keras.layers
parts = [layers.Dense(16), layers.Lambda(lambda x: x * tf.nn.sigmoid(x)), layers.Dense(4)]
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    model = tfmot.quantization.keras.quantize_model(
        tf_keras.Sequential([tf_keras.Input((8,)), *parts])
    )
(warning,) = [str(w.message) for w in caught if "Lambda" in str(w.message)]
print(warning)

# %% file
from ai_edge_litert import schema_py_generated as schema

from handbook.record import record

with quiet():
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    file = schema.ModelT.InitFromObj(schema.Model.GetRootAs(converter.convert(), 0))
names = {code: name for name, code in vars(schema.BuiltinOperator).items()}
types = {code: name for name, code in vars(schema.TensorType).items()}
graph, in_float = file.subgraphs[0], 0
for operator in graph.operators:
    name = names[file.operatorCodes[operator.opcodeIndex].builtinCode]
    inputs = [types[graph.tensors[index].type] for index in operator.inputs[:2] if index >= 0]
    output = types[graph.tensors[operator.outputs[0]].type]
    print(f"{name:16} {', '.join(inputs):17} -> {output}")
    in_float += output == "FLOAT32" and "QUANTIZE" not in name
record(in_float=in_float)
assert in_float >= 2
