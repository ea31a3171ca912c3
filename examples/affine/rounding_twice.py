"""Rounding twice is not rounding.

In a dead channel of int8.tflite every sum is the bias alone. TFLite's reference kernels round its
product, shift it and round again: the whole channel ends one step above its nearest integer.
Source: TensorFlow Lite, MultiplyByQuantizedMultiplier in kernels/internal/common.
"""

# %% load
import numpy as np

from handbook.record import artifact
from handbook.reference import fixed_point_multiplier, requantize_fixed_point
from handbook.tflite import read_tflite

path = artifact("affine/quantized_models/int8.tflite")
depthwise = next(each for each in read_tflite(path) if each.name == "DEPTHWISE_CONV_2D")
x, weight, bias = depthwise.inputs
multipliers = np.float64(x.scale) * weight.scale / depthwise.output.scale
channel = multipliers.argmax()  # the widest weights belong to a dead channel

# %% twice
total, multiplier = bias.data[channel], multipliers[channel]
m, shift = fixed_point_multiplier(multiplier)
print(f"sum {total}, multiplier {multiplier:.4f} = {m} * 2 ** ({shift} - 31)")
half = (int(total) * m + 2**30) >> 31  # rounded: the product, still to be shifted by 1
once = int(requantize_fixed_point(total, m, shift, rounding_twice=False))
twice = int(requantize_fixed_point(total, m, shift))
print(
    f"exact {total * multiplier:.3f}, rounded once {once}, twice {half} / 2 = {half / 2} -> {twice}"
)
assert shift == -1 and twice == once + 1

# %% kernel
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from handbook.data import fashion_mnist
from handbook.record import record
from handbook.tflite import quiet

pixels, _ = fashion_mnist("test", raw=True)
images = (pixels[:100].astype(np.int16) - 128).astype(np.int8)[..., np.newaxis]
with quiet():
    interpreter = Interpreter(
        str(path),
        experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
        experimental_preserve_all_tensors=True,
    )
interpreter.resize_tensor_input(0, images.shape)
interpreter.allocate_tensors()
interpreter.set_tensor(0, images)
interpreter.invoke()
output = interpreter.get_tensor(depthwise.output.index)[..., channel]
values = np.unique(output.astype(int) - depthwise.output.zero_point)
print(f"the reference kernel, {output.size} outputs of the channel: {values}")
assert values.tolist() == [twice]
record(total=int(total), once=once, twice=twice, outputs=output.size)
SCALES = "calibrated on another CPU, the file's scales end in other last bits"
numbers = {"multiplier": round(multiplier, 4), "exact": round(total * multiplier, 3)}
record(**numbers, tolerance=0.005, because=SCALES)
