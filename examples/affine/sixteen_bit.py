"""16-bit integers: the step, and what a sum of products needs.

A real layer with int16 activations and int8 weights, in NumPy: its error beside that of int8, the
longest sum that int32 surely holds, and a sum that it does not hold.
Source: the TFLite 16x8 mode: symmetric int16 activations, int8 weights, int64 sums.
"""

# %% load
import numpy as np
import torch
from torch.fx.experimental.optimization import fuse

from handbook.data import fashion_mnist
from handbook.running_example import load_running_example

model = fuse(load_running_example())  # folds each BatchNorm into its convolution
layer = model.get_submodule("branch3x3.conv")
captured = []
layer.register_forward_hook(lambda module, inputs, output: captured.append(inputs[0]))
with torch.inference_mode():
    model(torch.from_numpy(fashion_mnist("train")[0][:100]))
weight = layer.weight.detach().numpy().astype(np.float64).reshape(len(layer.weight), -1)
columns = torch.nn.functional.unfold(captured[0], 3, padding=1).numpy().astype(np.float64)
print("weights", weight.shape, " inputs", columns.shape)


# %% quantize
def quantize(x, bits, axis=None):
    """Symmetric: the largest value becomes 2 ** (bits - 1) - 1, and 0 stays 0."""
    quant_max = 2 ** (bits - 1) - 1
    scale = np.abs(x).max(axis=axis, keepdims=axis is not None) / quant_max
    return np.rint(x / scale).astype(np.int64), scale


exact = weight @ columns
rows = []
for activation_bits, weight_bits in ((8, 8), (16, 8), (8, 16), (16, 16)):
    q_x, x_scale = quantize(columns, activation_bits)
    q_w, w_scale = quantize(weight, weight_bits, axis=1)  # one scale for each output channel
    accumulator = q_w.astype(np.float64) @ q_x  # float64 holds these integers exactly
    noise = accumulator * (x_scale * w_scale) - exact
    row = {"activations": f"int{activation_bits}", "weights": f"int{weight_bits}"}
    row["SQNR, dB"] = round(10 * np.log10(np.square(exact).sum() / np.square(noise).sum()), 1)
    row["largest sum"] = f"2 ** {np.log2(np.abs(accumulator).max()):.1f}"
    rows.append(row)

# %% layer
from handbook.record import record, table

table("layer", rows, tolerance={"SQNR, dB": 0.3, "largest sum": 0.3}, because="float32 activations")
sqnr = {(row["activations"], row["weights"]): row["SQNR, dB"] for row in rows}
assert sqnr["int16", "int8"] > sqnr["int8", "int8"] + 2  # the weights' 8 bits remain
assert sqnr["int16", "int16"] > sqnr["int16", "int8"] + 30

# %% terms
rows = []
for activation, other in ((8, 8), (16, 8), (16, 16)):
    product = 2 ** (activation - 1) * 2 ** (other - 1)  # of the two lowest integers
    row = {"product": f"int{activation} x int{other}", "largest": f"2 ** {activation + other - 2}"}
    rows.append(row | {"terms that int32 surely holds": (2**31 - 1) // product})
table("terms", rows)
record(terms_16x8=rows[1]["terms that int32 surely holds"], terms_here=weight.shape[1])
assert rows[1]["terms that int32 surely holds"] == 511 < weight.shape[1]

# %% overflow
activations = np.full(512, -32768, np.int16)
weights = np.full(512, -128, np.int8)
products = activations.astype(np.int32) * weights
print("int32:", products.sum(dtype=np.int32), " int64:", products.sum(dtype=np.int64))
assert products.sum(dtype=np.int32) == -(2**31) and products.sum(dtype=np.int64) == 2**31
assert products[:511].sum(dtype=np.int32) == 511 * 2**22  # one term fewer fits
