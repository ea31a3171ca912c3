"""A matrix product in 8 bits: what a runtime computes, and what it has computed before.

The classifier of the running example on real features: products of integers, sums in 32 bits, a
bias in the scale of the sums, and one multiplication at the end.
Source: Jacob et al. 2018, sections 2.2 to 2.4 (arXiv:1712.05877).
"""

# %% load
import numpy as np
import torch

from handbook.data import fashion_mnist
from handbook.running_example import load_running_example

model = load_running_example()
features = []
model.classifier.register_forward_hook(lambda layer, inputs, output: features.append(inputs[0]))
with torch.inference_mode():
    expected_logits = model(torch.from_numpy(fashion_mnist("test")[0][:500])).numpy()
a = features[0].numpy()
b = model.classifier.weight.detach().numpy().T
bias = model.classifier.bias.detach().numpy()
print("a:", a.shape, " b:", b.shape, " bias:", bias.shape)

# %% quantize
from handbook.reference import quantization_parameters, quantize_linear

s_a, z_a = quantization_parameters(a.min(), a.max(), "int8")  # float32 and int8
s_b, z_b = quantization_parameters(b.min(), b.max(), "int8")
q_a, q_b = quantize_linear(a, s_a, z_a, "int8"), quantize_linear(b, s_b, z_b, "int8")
print("zero points:", z_a, z_b)

# %% terms
a_, b_ = q_a.astype(np.int32), q_b.astype(np.int32)  # the sums need 32 bits
direct = (a_ - z_a) @ (b_ - z_b)

products = a_ @ b_  # what a matrix unit does: int8 times int8, added up in int32
# At run time, for each row of activations:
rows_of_a = z_b * a_.sum(axis=1, keepdims=True, dtype=np.int32)
columns_of_b = z_a * b_.sum(axis=0, dtype=np.int32)  # weights: known before
constant = len(b) * int(z_a) * int(z_b)  # known before
assert (products - rows_of_a - columns_of_b + constant == direct).all()

# %% symmetric
s_b, z_b = quantization_parameters(b.min(), b.max(), "int8", symmetric=True)
b_ = quantize_linear(b, s_b, z_b, "int8").astype(np.int32)
assert z_b == 0
# Ten numbers, added to the bias before the model is shipped.
precomputed = -int(z_a) * b_.sum(axis=0, dtype=np.int32)
assert (a_ @ b_ + precomputed == (a_ - z_a) @ b_).all()

# %% bias
q_bias = np.round(bias / (s_a * s_b)).astype(np.int32)  # the scale of the sums; zero point 0
accumulator = a_ @ b_ + (precomputed + q_bias)
assert accumulator.dtype == np.int32
real = accumulator * (s_a * s_b)
print("largest difference from the float logits:", np.abs(real - expected_logits).max().round(3))
assert np.abs(q_bias).max() > 127  # 8 bits would not hold it

# %% requantize
from handbook.record import record
from handbook.reference import fixed_point_multiplier, requantize_fixed_point

s_y, z_y = quantization_parameters(expected_logits.min(), expected_logits.max(), "int8")
multiplier = float(s_a) * float(s_b) / float(s_y)  # three scales become one number
y = np.clip(np.round(accumulator * multiplier) + z_y, -128, 127).astype(np.int8)

m, shift = fixed_point_multiplier(multiplier)
print(f"{multiplier:.9f} = {m} * 2 ** ({shift} - 31)")
y_integer = np.clip(requantize_fixed_point(accumulator, m, shift) + z_y, -128, 127)
TIES = "the features, sums of floats, end in other last bits on another CPU"
record(outputs=y.size)
record(differing=int((y != y_integer).sum()), tolerance=5, because=TIES)
assert np.abs(y - y_integer).max() <= 1
assert (y.argmax(1) == expected_logits.argmax(1)).mean() > 0.98
