"""Sums that saturate: 8-bit products on an x86 CPU without VNNI.

The instruction VPMADDUBSW adds two products of uint8 and int8, and clamps the sum to 16 bits. NumPy
does the same to the layers of int8.onnx, and gets what the kernels of such a CPU get, to the bit.
Source: onnxruntime_session_options_config_keys.h, kOrtSessionOptionsAvx2PrecisionMode.
"""

# %% load
import numpy as np

from handbook.data import fashion_mnist
from handbook.integer_layers import integer_layers
from handbook.record import artifact
from handbook.reference import requantize

layers = integer_layers(
    artifact("affine/qdq/fused.onnx"),
    artifact("affine/quantized_models/prepared.onnx"),
    fashion_mnist("test")[0][:100],
)
layers = [layer for layer in layers if layer.options.get("group") == 1]  # not the depthwise ones


# %% pairs
def pair_sums(layer):
    """Yield the sums of two products, int32 (pixels, outputs), along height, width and channel."""
    (top, left, bottom, right), (vertical, horizontal) = map(layer.options.get, ("pads", "strides"))
    pads = ((0, 0), (0, 0), (top, bottom), (left, right))
    x = np.pad(layer.x, pads, constant_values=layer.x_zero_point)
    windows = np.lib.stride_tricks.sliding_window_view(x, layer.w.shape[2:], axis=(2, 3))
    windows = windows[:, :, ::vertical, ::horizontal].transpose(0, 2, 3, 4, 5, 1)
    x = windows.reshape(-1, layer.w[0].size).astype(np.int32)
    w = layer.w.transpose(2, 3, 1, 0).reshape(-1, len(layer.w)).astype(np.int32)
    for k in range(0, len(w), 2):
        yield x[:, k : k + 2] @ w[k : k + 2]


def outputs(layer, saturate):
    low, high = (-(2**15), 2**15 - 1) if saturate else (-(2**31), 2**31 - 1)
    total = sum(np.clip(pair, low, high) for pair in pair_sums(layer))
    total -= layer.x_zero_point * layer.w.sum(axis=(1, 2, 3), dtype=np.int32)
    scale = layer.x_scale * layer.w_scale
    total += np.rint(layer.bias / scale).astype(np.int32)
    y = requantize(total, scale / layer.y_scale, layer.y_zero_point, np.uint8)
    n, channels, height, width = layer.output.shape
    return y.reshape(n, height, width, channels).transpose(0, 3, 1, 2)


# %% compare
from handbook.record import table

rows = []
for layer in layers:
    exact, saturated = outputs(layer, saturate=False), outputs(layer, saturate=True)
    row = {"layer": layer.name, "input zero point": layer.x_zero_point, "outputs": exact.size}
    row["changed by saturation"] = int((exact != saturated).sum())
    row["largest change, LSB"] = int(np.abs(exact.astype(int) - saturated).max())
    row["ONNX Runtime, not as exact"] = int((layer.output != exact).sum())
    row["not as saturated"] = int((layer.output != saturated).sum())
    rows.append(row)
    assert 0 in (row["ONNX Runtime, not as exact"], row["not as saturated"])
    share = row["changed by saturation"] / exact.size
    assert share > 0.001 if layer.x_zero_point else share < 0.0001
on_the_cpu = {"ONNX Runtime, not as exact": 10**6, "not as saturated": 10**6}
on_the_cpu |= {"changed by saturation": 500, "largest change, LSB": 10}  # the inputs differ too
table("layers", rows, tolerance=on_the_cpu, because="a CPU with VNNI does not saturate")
assert rows[0]["changed by saturation"] > 0.01 * rows[0]["outputs"]
