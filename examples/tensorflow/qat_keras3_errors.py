"""Fake-quantized weights that the TFLite converter refuses: Dense with a scale for each output.

The converter transposes the kernel of a Dense layer, and loses the axis of its scales.
Source: tf.lite.TFLiteConverter, TensorFlow 2.21.
"""

# %% load
from handbook.keras_twin import keras  # before TensorFlow: it silences its notices
from handbook.record import expected
from handbook.tflite import quiet

with quiet():
    import tensorflow as tf
    from tensorflow.lite.python.convert_phase import ConverterError

from keras import ops
from keras.quantizers import fake_quant_with_min_max_vars as fake_quantize


# %% per_channel
class PerChannelDense(keras.layers.Dense):
    def call(self, inputs):
        inputs = fake_quantize(inputs, -4.0, 4.0)
        largest = ops.max(ops.abs(self.kernel), 0)
        kernel = fake_quantize(self.kernel, -largest, largest, narrow_range=True, axis=1)
        return fake_quantize(ops.matmul(inputs, kernel), -4.0, 4.0)


keras.utils.set_random_seed(0)
model = keras.Sequential([keras.Input((8,)), PerChannelDense(4)])
converter = tf.lite.TFLiteConverter.from_keras_model(model)
converter.optimizations = [tf.lite.Optimize.DEFAULT]
with expected(ConverterError, "op has mismatched quantized axes of input and output"), quiet():
    converter.convert()
assert model.count_params() == 36  # the model itself is fine
