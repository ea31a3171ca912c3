"""Models of one Keras layer each, for the table of what a framework quantizes."""

import numpy as np

from handbook.keras_twin import keras as keras3
from handbook.tflite import quiet

with quiet():
    import tensorflow as tf

CHANNELS = 128  # the converter leaves weights of fewer than 1024 elements in float


def keras_layers(keras=keras3, unroll=False) -> dict:
    """Map the names of PyTorch's layers to a function of tensors, and the shapes of its inputs.

    Where Keras has no such layer, the function is TensorFlow's. `keras` may be tf_keras.
    """
    keras.utils.set_random_seed(0)  # one operator of a GRU is int8 for most weights, not for all
    layers, n = keras.layers, CHANNELS
    vector, sequence, image = [(n,)], [(3, n)], [(4, 4, n)]
    activations = {"GELU": "gelu", "Sigmoid": "sigmoid", "Tanh": "tanh", "Softmax": "softmax"}
    functions = {
        "SiLU": tf.nn.silu,
        "Hardswish": lambda x: x * tf.nn.relu6(x + 3) / 6,
        "Hardsigmoid": lambda x: tf.nn.relu6(x + 3) / 6,
        "Mean": lambda x: tf.reduce_mean(x, (1, 2)),
        "PixelShuffle": lambda x: tf.nn.depth_to_space(x, 2),
    }
    rms_norm = getattr(layers, "RMSNormalization", None)  # Keras 3 alone
    single = {
        "Linear": (layers.Dense(n), vector),
        "Conv1d": (layers.Conv1D(n, 3), sequence),
        "Conv2d": (layers.Conv2D(n, 3), image),
        "Conv3d": (layers.Conv3D(n, 3), [(4, 4, 4, n)]),
        "Conv2d, depthwise": (layers.DepthwiseConv2D(3), image),
        "ConvTranspose2d": (layers.Conv2DTranspose(n, 2, 2), image),
        "LSTM": (layers.LSTM(n, unroll=unroll), sequence),
        "GRU": (layers.GRU(n, unroll=unroll), sequence),
        "RNN": (layers.SimpleRNN(n, unroll=unroll), sequence),
        "LSTMCell": (_cell(layers.LSTMCell(n)), vector),
        "GRUCell": (_cell(layers.GRUCell(n)), vector),
        "RNNCell": (_cell(layers.SimpleRNNCell(n)), vector),
        "Embedding": (layers.Embedding(32, n), []),
        "MultiheadAttention": (_self_attention(layers.MultiHeadAttention(2, n)), sequence),
        "BatchNorm2d": (layers.BatchNormalization(), image),
        "LayerNorm": (layers.LayerNormalization(), sequence),
        "GroupNorm": (layers.GroupNormalization(2), image),
        "InstanceNorm2d": (layers.GroupNormalization(-1), image),
        "RMSNorm": (rms_norm and rms_norm(), sequence),
        "ReLU": (layers.ReLU(), image),
        "ReLU6": (layers.ReLU(6), image),
        "LeakyReLU": (layers.LeakyReLU(), image),
        "PReLU": (layers.PReLU(), image),
        "ELU": (layers.ELU(), image),
        "AvgPool2d": (layers.AveragePooling2D(2), image),
        "MaxPool2d": (layers.MaxPooling2D(2), image),
        "AdaptiveAvgPool2d": (layers.GlobalAveragePooling2D(), image),
        "Upsample, nearest": (layers.UpSampling2D(2), image),
        "Upsample, bilinear": (layers.UpSampling2D(2, interpolation="bilinear"), image),
        "Flatten": (layers.Flatten(), image),
        **{name: (layers.Activation(f), image) for name, f in activations.items()},
        **{name: (_function(f, keras), image) for name, f in functions.items()},
    }
    two = {
        "Add": layers.Add(),
        "Mul": layers.Multiply(),
        "Cat": layers.Concatenate(),
        "Div": _function(lambda both: both[0] / both[1], keras),
        "MatMul": _function(lambda both: tf.matmul(*both), keras),
    }
    pairs = {name: (_pair(layer), [(8, 8), (8, 8)]) for name, layer in two.items()}
    return {name: each for name, each in (single | pairs).items() if each[0]}


def one_keras_layer(layers: dict, name: str, keras=keras3):
    """Return a model of the layer, and its random inputs: a list, always the same."""
    keras.utils.set_random_seed(0)
    layer, shapes = layers[name]
    random = np.random.default_rng(0)
    values = [random.standard_normal((1, *shape), np.float32) for shape in shapes]
    values = values or [random.integers(32, size=(1, 5), dtype=np.int32)]  # indices
    tensors = [keras.Input(x.shape[1:], batch_size=1, dtype=str(x.dtype)) for x in values]
    return keras.Model(tensors, layer(*tensors)), values


def _cell(cell):
    def step(x):
        state = tf.zeros((1, CHANNELS))
        return cell(x, [state, state] if type(cell).__name__ == "LSTMCell" else [state])[0]

    return step


def _self_attention(attention):
    return lambda x: attention(x, x)


def _pair(layer):
    return lambda a, b: layer([a, b])


def _function(function, keras):
    """In Keras 3, a layer must hold a function of TensorFlow; tf_keras makes one by itself."""
    if keras is not keras3:
        return function

    class Function(keras3.layers.Layer):
        def call(self, x):
            return function(x)

    return Function()
