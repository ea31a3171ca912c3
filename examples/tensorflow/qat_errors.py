"""What tfmot refuses: Keras 3, subclassed and nested models, and layers that it does not know.

Each error as it is printed, and the cure where there is one: a subclassed model becomes Functional,
and an own QuantizeConfig takes a layer in.
Source: tfmot 0.8.1, quantize.py and default_8bit_quantize_registry.py.
"""

# %% load
import os

from handbook.keras_qat import CLASSES, Output
from handbook.keras_twin import keras  # Keras 3
from handbook.record import expected
from handbook.tflite import quiet

os.environ["TF_USE_LEGACY_KERAS"] = "1"  # tf.keras is Keras 2, the package tf_keras
with quiet():
    import tensorflow as tf
    import tensorflow_model_optimization as tfmot
    import tf_keras

layers, Input, Model = tf_keras.layers, tf_keras.Input, tf_keras.Model
quantize_model = tfmot.quantization.keras.quantize_model

# %% keras3
with expected(ValueError, "can only either be a keras Sequential or Functional model"):
    quantize_model(keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)]))


# %% subclassed
class Subclassed(Model):
    def __init__(self):
        super().__init__()
        self.hidden, self.classifier = layers.Dense(16, activation="relu"), layers.Dense(4)

    def call(self, x):
        return self.classifier(self.hidden(x))


subclassed = Subclassed()
subclassed.build((None, 8))
with expected(ValueError, "can only either be a keras Sequential or Functional model"):
    quantize_model(subclassed)

# %% to_functional
inputs = Input((8,))
functional = Model(inputs, subclassed.call(inputs))  # the same layers, and their weights
print([layer.name for layer in quantize_model(functional).layers])
assert all(a is b for a, b in zip(functional.weights, subclassed.weights, strict=True))

# %% nested
backbone = tf_keras.Sequential([Input((8,)), layers.Dense(16, activation="relu")])
with expected(ValueError, "Quantizing a keras Model inside another keras Model"):
    quantize_model(tf_keras.Sequential([backbone, layers.Dense(4)]))
flat = tf_keras.Sequential([Input((8,)), *backbone.layers, layers.Dense(4)])
print(len(quantize_model(flat).layers), "layers")

# %% layer_normalization
model = tf_keras.Sequential([Input((8,)), layers.Dense(4), layers.LayerNormalization()])
with expected(RuntimeError, "is not supported. You can quantize this layer by passing"):
    quantize_model(model)

# %% own_config
from tensorflow_model_optimization.quantization.keras import quantize_annotate_layer

configs = {layers.LayerNormalization: Output()}
annotated = [quantize_annotate_layer(x, configs.get(type(x))) for x in model.layers]
annotated = tf_keras.Sequential([Input((8,)), *annotated])
with tfmot.quantization.keras.quantize_scope(CLASSES):
    quantized = tfmot.quantization.keras.quantize_apply(annotated)
print(quantized.layers[-1].name)

# %% no_scope
with expected(ValueError, "Please ensure you are using a `keras.utils.custom_object_scope`"):
    tfmot.quantization.keras.quantize_apply(annotated)

# %% batch_normalization
convolution = layers.Conv2D(4, 3)
with expected(RuntimeError, "batch_normalization.BatchNormalization'> is not supported"):
    first = [Input((8, 8, 1)), layers.BatchNormalization(name="first"), convolution]
    quantize_model(tf_keras.Sequential(first))

# %% operators
inputs = Input((8,))
with expected(AttributeError, "'list' object has no attribute 'dtype'"):
    quantize_model(Model(inputs, layers.Dense(4)(inputs) + 1.0))
with expected(RuntimeError, "TFOpLambda'> is not supported"):
    quantize_model(Model(inputs, tf.reduce_mean(layers.Dense(4)(inputs), 1)))

# %% multiply
branches = [layers.Dense(4)(inputs), layers.Dense(4)(inputs)]
with expected(RuntimeError, "merging.multiply.Multiply'> is not supported"):
    quantize_model(Model(inputs, layers.Multiply(name="multiply")(branches)))
