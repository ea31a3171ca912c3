"""A QAT model's int8 file in integers, with NumPy.

The operators of the file run as int8 products and int32 sums. The outputs are compared with those
of LiteRT's kernels and of the fake-quantized Keras model, on all 10 000 test images.
Source: handbook.reference; XNNPACK, src/microparams-init.c, for the addition.
"""

# %% load
import os

import numpy as np

from handbook.data import fashion_mnist
from handbook.keras_qat import CLASSES
from handbook.record import artifact
from handbook.reference import conv_integer, quantize_linear, requantize
from handbook.tflite import quiet, read_tflite, run_tflite

os.environ["TF_USE_LEGACY_KERAS"] = "1"  # tf.keras is Keras 2, the package tf_keras
with quiet():
    import tensorflow_model_optimization as tfmot
    import tf_keras

images, labels = fashion_mnist("test")
images = images.transpose(0, 2, 3, 1)


# %% operators
def product(total, x, w_scale, y):
    """Sums of products to centered integers of the output: one multiplication in float32."""
    multiplier = x.scale * w_scale / y.scale
    return requantize(total, multiplier, y.zero_point, np.int8).astype(np.int16) - y.zero_point


def convolve(a, name, x, weight, bias, y, stride):
    depthwise = name == "DEPTHWISE_CONV_2D"
    w = weight.data.transpose((3, 0, 1, 2) if depthwise else (0, 3, 1, 2))  # to OIHW
    pad = w.shape[2] // 2 if stride == 1 else 0  # else an operator of its own has padded
    group = len(w) if depthwise else 1
    options = {"strides": (stride, stride), "pads": (pad,) * 4, "group": group}
    total = conv_integer(a.transpose(0, 3, 1, 2), w, **options).transpose(0, 2, 3, 1) + bias.data
    return product(total, x, weight.scale, y)


def add(a, x, b, second, y):
    shift = 21 - np.frexp(max(x.scale, second.scale) / y.scale)[1]
    m_a, m_b = (int(np.rint(np.ldexp(t.scale / y.scale, shift))) for t in (x, second))
    return (a.astype(np.int64) * m_a + b.astype(np.int64) * m_b + (1 << (shift - 1))) >> shift


# %% network
def run(batch, operators):
    values = {}  # by tensor: integers less their zero point
    for name, (x, *others), y, options in operators[:-1]:
        a = values.get(x.index)
        if name == "QUANTIZE":
            a = quantize_linear(batch, y.scale, y.zero_point, np.int8) - np.int16(y.zero_point)
        elif name == "PAD":
            a = np.pad(a, others[0].data)
        elif name == "ADD":
            a = add(a, x, values[others[0].index], others[0], y)
        elif name == "CONCATENATION":  # its inputs have its own scale
            a = np.concatenate([a, values[others[0].index]], axis=3)
        elif name == "MEAN":
            total = a.sum((1, 2), np.int32)
            a = product(total, x, np.float32(1 / a[0, ..., 0].size), y)
        elif name == "FULLY_CONNECTED":
            weight, bias = others
            a = product(a @ weight.data.T.astype(np.int32) + bias.data, x, weight.scale, y)
        else:
            a = convolve(a, name, x, *others, y, options["strideH"])
        low = 0 if options.get("fusedActivationFunction") else -128 - y.zero_point
        values[y.index] = np.clip(a, low, 127 - y.zero_point).astype(np.int16)
    return values[y.index] * y.scale


# %% results
from handbook.conversions import parity
from handbook.record import table

rows = []
for kind, name in {"default": "default-0", "depthwise per channel": "own-0"}.items():
    path = artifact(f"tensorflow/qat_functional/{name}.tflite")
    operators = read_tflite(path)
    integers = np.concatenate([run(batch, operators) for batch in np.split(images, 40)])
    file = artifact(f"tensorflow/qat_functional_train/{name}.h5")
    with tfmot.quantization.keras.quantize_scope(CLASSES):
        model = tf_keras.models.load_model(file, compile=False)
    others = {"LiteRT's kernels": run_tflite(path, images)}
    others["Keras, fake-quantized"] = model.predict(images, batch_size=500, verbose=0)
    scale = operators[-1].inputs[0].scale
    for other, outputs in others.items():
        row = {"QAT": kind, "NumPy's integers compared with": other}
        rows.append(row | parity(integers, outputs, labels, scale))
wide = {"accuracy %": 2, "95 % interval": 2, "same answer %": 2, "identical outputs %": 20}
wide |= {"largest difference": 6}
table("results", rows, tolerance=wide, because="training on another CPU ends elsewhere")
for row in rows[::2]:
    assert row["identical outputs %"] > 99 and row["same answer %"] > 99.9
