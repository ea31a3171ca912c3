"""Quantization aware training in Keras 3, without tfmot.

The TFLite converter recognizes Keras' own fake quantization: four layers, 32 batches, int8.
Source: keras.quantizers.fake_quant_with_min_max_vars, keras-team/keras#20772.
"""

# %% load
import numpy as np

from handbook.data import fashion_mnist
from handbook.keras_twin import keras, load_keras_twin  # before TensorFlow: it silences its notices
from handbook.record import artifact
from handbook.tflite import quiet, read_tflite

with quiet():
    import tensorflow as tf

from keras import layers, ops
from keras.quantizers import fake_quant_with_min_max_vars as fake_quantize

keras.utils.set_random_seed(0)
(train_images, train_labels), (test_images, _) = fashion_mnist("train"), fashion_mnist("test")
train_images, test_images = (x.transpose(0, 2, 3, 1) for x in (train_images, test_images))


# %% layers
def fake_quantize_weight(kernel, axis):
    others = None if axis is None else [i for i in range(4) if i != axis]
    largest = ops.stop_gradient(ops.max(ops.abs(kernel), others))
    return fake_quantize(kernel, -largest, largest, narrow_range=True, axis=axis)


class Conv2D(layers.Conv2D):
    def convolution_op(self, inputs, kernel):
        return super().convolution_op(inputs, fake_quantize_weight(kernel, axis=3))


class DepthwiseConv2D(layers.DepthwiseConv2D):
    def call(self, inputs):
        kernel = fake_quantize_weight(self.kernel, axis=2)
        return ops.depthwise_conv(inputs, kernel, self.strides, self.padding)


class Dense(layers.Dense):
    def call(self, inputs):
        kernel = fake_quantize_weight(self.kernel, axis=None)  # one scale for the layer
        return ops.matmul(inputs, kernel) + self.bias


class FakeQuantize(layers.Layer):
    def build(self, shape):
        self.low = self.add_weight(initializer=keras.initializers.Constant(-6), trainable=False)
        self.high = self.add_weight(initializer=keras.initializers.Constant(6), trainable=False)

    def call(self, x, training=False):
        if training:  # a moving average; 0 stays inside
            self.low.assign(0.9 * self.low + 0.1 * ops.minimum(ops.min(x), 0))
            self.high.assign(0.9 * self.high + 0.1 * ops.maximum(ops.max(x), 0))
        return fake_quantize(x, self.low, self.high)


# %% clone
OWN = {"Conv2D": Conv2D, "DepthwiseConv2D": DepthwiseConv2D, "Dense": Dense}
ROUNDED = ("ReLU", "Add", "Concatenate", "GlobalAveragePooling2D", "Dense")


def clone(layer):
    return OWN.get(type(layer).__name__, type(layer)).from_config(layer.get_config())


def call(layer, *inputs, **options):
    outputs = layer(*inputs, **options)
    last = type(layer).__name__ in ROUNDED or layer.name == "inverted.project.bn"
    if not last or layer.name.startswith("branch"):  # the concatenation rounds for its branches
        return outputs
    return FakeQuantize(name=f"{layer.name}.fake_quantize")(outputs)


twin = load_keras_twin()
inputs = FakeQuantize()(images := keras.Input((28, 28, 1)))
body = keras.models.clone_model(twin, clone_function=clone, call_function=call)
for layer in twin.layers:
    body.get_layer(layer.name).set_weights(layer.get_weights())
model = keras.Model(images, body(inputs))

# %% train
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
model.compile(keras.optimizers.SGD(0.001, momentum=0.9, nesterov=True), loss)
model.fit(train_images[:2048], train_labels[:2048], batch_size=128, epochs=2, verbose=0)

# %% convert
converter = tf.lite.TFLiteConverter.from_keras_model(model)
converter.optimizations = [tf.lite.Optimize.DEFAULT]
path = artifact("tensorflow/qat_keras3/int8.tflite")
with quiet():
    path.write_bytes(converter.convert())
names = [operator.name for operator in read_tflite(path)]
print(*names)
assert names.count("QUANTIZE") == names.count("DEQUANTIZE") == 1  # the input and the output
np.save(path.with_suffix(".npy"), model.predict(test_images, batch_size=500, verbose=0))
