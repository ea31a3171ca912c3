"""Quantization aware training with tfmot: configurations of layers, ranges, and the training."""

import os
import re

import numpy as np

from handbook import keras_twin  # noqa: F401 (first: it silences TensorFlow's notices)
from handbook.tflite import quiet

os.environ["TF_USE_LEGACY_KERAS"] = "1"
with quiet():
    import tensorflow as tf
    from tensorflow_model_optimization.quantization.keras import QuantizeConfig, quantizers


class Nothing(QuantizeConfig):
    """Quantize nothing of a layer: tfmot asks for each of its parts, and gets none."""

    def get_weights_and_quantizers(self, layer):
        return []

    def get_activations_and_quantizers(self, layer):
        return []

    def get_output_quantizers(self, layer):
        return []

    def set_quantize_weights(self, layer, quantize_weights):
        pass

    def set_quantize_activations(self, layer, quantize_activations):
        pass

    def get_config(self):
        return {}


class Output(Nothing):
    """Quantize what the layer puts out: 8 bits, a moving average of the range."""

    def get_output_quantizers(self, layer):
        options = {"per_axis": False, "symmetric": False, "narrow_range": False}
        return [quantizers.MovingAverageQuantizer(num_bits=8, **options)]


class Kernel(Nothing):
    """Quantize the weights of a convolution, with few bits and a scale for each output channel."""

    def __init__(self, num_bits):
        self.num_bits = num_bits

    def get_weights_and_quantizers(self, layer):
        options = {"per_axis": True, "symmetric": True, "narrow_range": True}
        return [(layer.kernel, quantizers.LastValueQuantizer(self.num_bits, **options))]

    def set_quantize_weights(self, layer, quantize_weights):
        layer.kernel = quantize_weights[0]  # what the layer computes with

    def get_config(self):
        return {"num_bits": self.num_bits}


class Depthwise(Kernel):
    """The same for a depthwise convolution, whose channel is the last axis but one."""

    def get_weights_and_quantizers(self, layer):
        options = {"per_axis": True, "symmetric": True, "narrow_range": True}
        return [(layer.depthwise_kernel, LastButOne(self.num_bits, **options))]

    def set_quantize_weights(self, layer, quantize_weights):
        layer.depthwise_kernel = quantize_weights[0]


class LastButOne(quantizers.LastValueQuantizer):
    """Quantize with a range for each index of the last axis but one; tfmot knows the last alone."""

    def build(self, tensor_shape, name, layer):
        height, width, channels, multiplier = tensor_shape
        return super().build((height, width, multiplier, channels), name, layer)

    def __call__(self, inputs, training, weights, **kwargs):
        swapped = tf.transpose(inputs, (0, 1, 3, 2))
        return tf.transpose(super().__call__(swapped, training, weights), (0, 1, 3, 2))


CLASSES = {each.__name__: each for each in (Nothing, Output, Kernel, Depthwise, LastButOne)}


def set_ranges(model, images, passes=3):
    """Set the ranges of activations of a fresh QAT model to those of `images`; return the model.

    tfmot starts each range at -6 and 6, and a batch moves it by a thousandth of the way to its own.
    So a batch's range is a thousand such moves. A pass sees what the one before has clipped.
    `images` are a batch of the model's inputs. Statistics of batch normalization stay as they are.
    """
    ranges = [w for w in model.weights if re.search("(output|activation)_(min|max):0$", w.name)]
    statistics = [w for w in model.weights if "/moving_" in w.name]
    kept = [w.numpy() for w in statistics]
    for _ in range(passes):
        before = [w.numpy() for w in ranges]
        model(images, training=True)  # sets the ranges of the weights as well
        for weight, start in zip(ranges, before, strict=True):
            end = start + 1000 * (weight.numpy() - start)
            weight.assign(min(end, 0) if weight.name.endswith("_min:0") else max(end, 0))
    for weight, value in zip(statistics, kept, strict=True):
        weight.assign(value)
    return model


def train(model, start, images, labels, seed, rate=0.001, count=2048, epochs=2):
    """Train a compiled tf_keras model on `count` of the images, from the weights `start`.

    The seed chooses the images and their order: models of one seed see the same batches. The model
    is compiled once, with SGD, and used for all seeds: its weights and momenta are set here.
    """
    chosen = np.random.default_rng(seed).permutation(len(images))[:count]
    model.set_weights(start)
    optimizer = model.optimizer
    optimizer.learning_rate = rate
    for variable in optimizer.variables()[1:]:  # the first counts steps
        variable.assign(np.zeros(variable.shape))
    batches = np.concatenate(
        [np.random.default_rng([seed, epoch]).permutation(chosen) for epoch in range(epochs)]
    )
    model.fit(images[batches], labels[batches], batch_size=128, shuffle=False, verbose=0)
    return model


def mean_interval(values) -> tuple[float, float]:
    """Return the mean of three runs and half the width of its 95 % interval (Student's t)."""
    if len(values) != 3:
        raise ValueError(f"expected three runs, not {len(values)}")
    half_width = 4.303 * np.std(values, ddof=1) / 3**0.5  # two degrees of freedom
    return round(float(np.mean(values)), 2), round(float(half_width), 2)
