"""The running example in Keras: native layers, NHWC, and the same weights."""

import os

import numpy as np

from handbook.data import data_file

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# TensorFlow's libraries write notices to stderr as they load, before they read that level.
stderr = os.dup(2)
with open(os.devnull, "w") as null:
    os.dup2(null.fileno(), 2)
try:
    import keras
finally:
    os.dup2(stderr, 2)
    os.close(stderr)


def load_keras_twin(keras=keras):
    """Return the trained network: normalized float32 images (N, 28, 28, 1) to logits (N, 10).

    `keras` may be tf_keras, for tools that know only Keras 2. Layers are named as the modules of
    PyTorch, and pad as they do: one pixel on each side, where "same" at stride 2 pads one side.
    """
    layers = keras.layers

    def conv_bn(x, name, filters=None, kernel_size=1, stride=1, relu=True):
        padding = "same"
        if stride > 1:
            x, padding = (layers.ZeroPadding2D(kernel_size // 2, name=f"{name}.pad")(x), "valid")
        options = dict(strides=stride, padding=padding, use_bias=False, name=f"{name}.conv")
        if filters is None:
            x = layers.DepthwiseConv2D(kernel_size, **options)(x)
        else:
            x = layers.Conv2D(filters, kernel_size, **options)(x)
        x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}.bn")(x)
        return layers.ReLU(name=f"{name}.relu")(x) if relu else x

    def separable(x, name, filters, stride=1):
        x = conv_bn(x, f"{name}.depthwise", kernel_size=3, stride=stride)
        return conv_bn(x, f"{name}.pointwise", filters)

    images = layers.Input((28, 28, 1), name="images")
    x = conv_bn(images, "stem", 16, 3, stride=2)
    x = separable(separable(x, "separable1", 32), "separable2", 64, stride=2)
    hidden = conv_bn(x, "inverted.expand", 128)
    hidden = conv_bn(hidden, "inverted.depthwise", kernel_size=3)
    x = layers.Add(name="add")([x, conv_bn(hidden, "inverted.project", 64, relu=False)])
    branches = [conv_bn(x, "branch1x1", 48), conv_bn(x, "branch3x3", 48, 3)]
    x = layers.GlobalAveragePooling2D(name="mean")(layers.Concatenate(name="cat")(branches))
    model = keras.Model(images, layers.Dense(10, name="classifier")(x), name="running_example")

    with np.load(data_file("running_example/weights.npz")) as weights:
        for layer in model.layers:
            parts = (f"{layer.name}.{p}" for p in ("weight", "bias", "running_mean", "running_var"))
            values = [weights[part] for part in parts if part in weights]
            if isinstance(layer, layers.DepthwiseConv2D):  # OIHW, with I = 1, to HWOI
                values[0] = values[0].transpose(2, 3, 0, 1)
            elif isinstance(layer, layers.Conv2D):  # OIHW to HWIO
                values[0] = values[0].transpose(2, 3, 1, 0)
            elif isinstance(layer, layers.Dense):
                values[0] = values[0].T
            layer.set_weights(values)
    return model
