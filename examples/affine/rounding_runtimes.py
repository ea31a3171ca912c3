"""Which way PyTorch, ONNX Runtime and TensorFlow round, and whether they divide by the scale.

Two inputs tell all rules apart: ties, with an odd zero point; and 1.5 * scale, for a scale whose
rounded inverse makes less than 1.5 of it.
Source: the kernels themselves, called one at a time.
"""

# %% inputs
import numpy as np

ties, zero_point = np.float32([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5]), 1  # ties of x / scale
rules = {
    "to the even step": np.rint(ties),
    "to the even integer": np.rint(ties + zero_point) - zero_point,
    "away from zero": np.copysign(np.floor(np.abs(ties) + 0.5), ties),
    "up": np.floor(ties + 0.5),
}
inexact = 61 / 64  # a scale that rounding.py found

# %% pytorch
import warnings

import torch

warnings.filterwarnings("ignore", "torch.quantize_per_tensor, torch.quantize_per_channel")


def torch_quantize(x, scale, zero_point):
    q = torch.quantize_per_tensor(torch.from_numpy(x), scale, zero_point, torch.qint8)
    return q.int_repr().numpy() - zero_point


def torch_fake_quantize(x, scale, zero_point):
    y = torch.fake_quantize_per_tensor_affine(torch.from_numpy(x), scale, zero_point, -128, 127)
    return y.numpy() / scale


# %% onnx
import onnx
import onnxruntime

graph = "g (float[n] x, float s, int8 z) => (int8[n] q) { q = QuantizeLinear(x, s, z) }"
model = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["": 21]> {graph}')
session = onnxruntime.InferenceSession(model.SerializeToString())


def onnx_quantize(x, scale, zero_point):
    inputs = {"x": x, "s": np.array(scale, np.float32), "z": np.array(zero_point, np.int8)}
    return session.run(None, inputs)[0] - zero_point


# %% tensorflow
from handbook.tflite import quiet

with quiet():
    import tensorflow as tf

    tf.zeros(1)  # looks for a GPU, and says so
tf.get_logger().setLevel("ERROR")


def tf_quantize(x, scale, zero_point):  # symmetric, without a zero point
    q = tf.quantization.quantize(x, -128 * scale, 0, tf.qint8, "SCALED", ensure_minimum_range=0)
    return tf.bitcast(q.output, tf.int8).numpy()


def tf_fake_quantize(name, x, scale, zero_point):
    low = (-128 - zero_point) * scale if x.min() < 0 else 0.0
    operator = getattr(tf.quantization, f"fake_quant_with_min_max_{name}")
    return operator(x, low, low + 255 * scale).numpy() / scale


# %% table
from handbook.record import table

divides = {1: "by the inverse", 2: "divides"}
kernels = {
    "PyTorch quantize_per_tensor": torch_quantize,
    "PyTorch fake_quantize_per_tensor_affine": torch_fake_quantize,
    "ONNX Runtime QuantizeLinear": onnx_quantize,
    "TensorFlow quantize": tf_quantize,
    "TensorFlow fake_quant_with_min_max_args": lambda *x: tf_fake_quantize("args", *x),
    "TensorFlow fake_quant_with_min_max_vars": lambda *x: tf_fake_quantize("vars", *x),
}
rows = []
for name, quantize in kernels.items():
    steps = quantize(ties * np.float32(0.5), 0.5, zero_point)
    [rule] = [rule for rule in rules if np.array_equal(rules[rule], steps)]
    [step] = quantize(np.float32([1.5 * inexact]), inexact, 0)
    row = {"kernel": name, "ties become": " ".join(f"{each:.0f}" for each in steps)}
    rows.append(row | {"a tie goes": rule, "x / scale": divides[int(step)]})
found = {row["kernel"]: (row["a tie goes"], row["x / scale"]) for row in rows}
assert found["ONNX Runtime QuantizeLinear"] == ("to the even step", "divides")
assert found["PyTorch fake_quantize_per_tensor_affine"] == ("to the even step", "by the inverse")
assert found["TensorFlow quantize"] == ("away from zero", "by the inverse")
fbgemm = "fbgemm" in torch.backends.quantized.supported_engines  # on x86
integer_or_step = "to the even integer" if fbgemm else "to the even step"
assert found["PyTorch quantize_per_tensor"] == (integer_or_step, "by the inverse")
table("kernels", rows if fbgemm else rows[1:])
