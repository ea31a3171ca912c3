"""Which way TFLite's kernels round, and whether they divide by the scale.

Two inputs tell all rules apart: ties, with an odd zero point; and 1.5 * scale, for a scale whose
rounded inverse makes less than 1.5 of it.
Source: the kernels themselves, called one at a time.
"""

# %% inputs
import numpy as np

ties = np.float32([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5])  # x / scale
zero_point = 1
rules = {
    "to the even step": np.rint(ties),
    "to the even integer": np.rint(ties + zero_point) - zero_point,
    "away from zero": np.copysign(np.floor(np.abs(ties) + 0.5), ties),
    "up": np.floor(ties + 0.5),
}
inexact = 61 / 64  # a scale that rounding.py found

# %% convert
from handbook.tflite import quiet

with quiet():
    import tensorflow as tf

    tf.zeros(1)  # looks for a GPU, and says so
tf.get_logger().setLevel("ERROR")


def one_operator(x, scale, zero_point):
    """A TFLite model that quantizes to int8, and does nothing else."""
    low = (-128 - zero_point) * scale  # fake_quant stands for its parameters
    layer = tf.function(
        lambda x: tf.quantization.fake_quant_with_min_max_args(x, low, low + 255 * scale)
    )
    concrete = layer.get_concrete_function(tf.TensorSpec(x.shape))
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], tf.Module())
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.inference_output_type = tf.int8
    with quiet():
        return converter.convert()


# %% run
from ai_edge_litert.interpreter import Interpreter, OpResolverType


def run(kernels, x, scale, zero_point):
    with quiet():
        interpreter = Interpreter(
            model_content=one_operator(x, scale, zero_point), experimental_op_resolver_type=kernels
        )
        interpreter.allocate_tensors()
    [output] = interpreter.get_output_details()
    assert output["quantization"] == (scale, zero_point)
    interpreter.set_tensor(0, x)
    interpreter.invoke()
    return interpreter.get_tensor(output["index"]) - zero_point


# %% table
from functools import partial

from handbook.record import table

kernels = {
    "TFLite QUANTIZE, reference": partial(run, OpResolverType.BUILTIN_REF),
    "TFLite QUANTIZE, optimized": partial(run, OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES),
    "TFLite QUANTIZE, default (XNNPACK)": partial(run, OpResolverType.AUTO),
}
rows = []
for name, quantize in kernels.items():
    steps = quantize(ties * np.float32(0.5), 0.5, zero_point)
    [rule] = [rule for rule in rules if np.array_equal(rules[rule], steps)]
    [step] = quantize(np.float32([1.5 * inexact]), inexact, 0)
    row = {"kernel": name, "ties become": " ".join(f"{each:.0f}" for each in steps)}
    rows.append(
        row | {"a tie goes": rule, "x / scale": {1: "by the inverse", 2: "divides"}[int(step)]}
    )
table("kernels", rows)
assert [row["x / scale"] for row in rows] == ["divides", "divides", "by the inverse"]
