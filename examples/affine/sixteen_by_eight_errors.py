"""TFLite's 16x8 mode meets an operator that it does not have.

The converter refuses the model; with the float operators allowed, this one operator stays float.
Source: tf.lite.TFLiteConverter and tf.lite.OpsSet of TensorFlow 2.21.
"""

# %% load
import numpy as np

from handbook.keras_twin import keras  # before TensorFlow: it keeps the notices away
from handbook.record import expected
from handbook.tflite import quiet

import tensorflow as tf  # isort: skip

x = keras.Input((8,))
model = keras.Model(x, keras.layers.Dense(4)(x / (1 + keras.ops.abs(x))))
samples = np.random.default_rng(0).normal(size=(20, 1, 8)).astype(np.float32)


def convert(supported_ops):
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([sample] for sample in samples)
    converter.target_spec.supported_ops = supported_ops
    with quiet():
        return converter.convert()


# %% refused
int16x8 = tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
with expected(RuntimeError, "Quantization to 16x8-bit not yet supported for op"):
    convert([int16x8])

# %% mixed
from ai_edge_litert.interpreter import Interpreter, OpResolverType

content = convert([int16x8, tf.lite.OpsSet.TFLITE_BUILTINS])
plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
with quiet():
    interpreter = Interpreter(model_content=content, experimental_op_resolver_type=plain)
    interpreter.allocate_tensors()
operators = [node["op_name"] for node in interpreter._get_ops_details()]
print(*operators)
division = operators.index("DIV")
assert "DEQUANTIZE" in operators[:division] and "QUANTIZE" in operators[division:]
