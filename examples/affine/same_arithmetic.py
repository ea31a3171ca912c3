"""The same integers through ONNX Runtime, PyTorch and NumPy.

All ten convolutions and the classifier of int8.onnx, on the activations of 100 test images: which
formula gives a runtime's outputs to the last bit.
Source: ONNX Runtime's QLinearConv and QGemm; torch.ops.quantized.
"""

# %% load
import warnings

import numpy as np
import torch

from handbook.data import fashion_mnist
from handbook.integer_layers import integer_layers
from handbook.record import artifact
from handbook.reference import conv_integer, dequantize_linear, matmul_integer, quantize_linear

warnings.filterwarnings("ignore", "torch.quantize_per_tensor, torch.quantize_per_channel")

layers = integer_layers(
    artifact("affine/qdq/fused.onnx"),
    artifact("affine/quantized_models/prepared.onnx"),
    fashion_mnist("test")[0][:100],
    x64quantprecision="1",  # no saturation on CPUs without VNNI
)


# %% numpy
def numpy_outputs(layer, float_bias=False, zero_point_first=False):
    if layer.w.ndim == 4:
        total = conv_integer(layer.x, layer.w, layer.x_zero_point, **layer.options)
    else:
        total = matmul_integer(layer.x, layer.w.T, layer.x_zero_point)
    along_channels = (-1, *[1] * (total.ndim - 2))
    scale = (layer.x_scale * layer.w_scale).reshape(along_channels)  # of the sums
    bias = layer.bias.reshape(along_channels) / scale
    total = total + (bias if float_bias else np.rint(bias).astype(np.int32))
    steps = total.astype(np.float32) * (scale / layer.y_scale)
    zero_point = layer.y_zero_point
    rounded = np.rint(steps + zero_point) if zero_point_first else np.rint(steps) + zero_point
    return np.clip(rounded, 0, 255)


# %% pytorch
def torch_outputs(layer, engine):
    torch.backends.quantized.engine = engine
    x, w, w_scale, bias = map(torch.tensor, (layer.x, layer.w, layer.w_scale, layer.bias))
    x = torch._make_per_tensor_quantized_tensor(x, layer.x_scale.item(), layer.x_zero_point)
    w = torch._make_per_channel_quantized_tensor(w, w_scale.double(), torch.zeros(len(w)).long(), 0)
    y = (layer.y_scale.item(), layer.y_zero_point)
    ops = torch.ops.quantized
    if layer.w.ndim == 2:
        return ops.linear(x, ops.linear_prepack(w, bias), *y).int_repr().numpy()
    options = {"strides": [1, 1], "pads": [0, 0], "group": 1} | layer.options
    strides, pads, groups = options["strides"], options["pads"][:2], options["group"]
    packed = ops.conv2d_prepack(w, bias, strides, pads, [1, 1], groups)
    return ops.conv2d(x, packed, *y).int_repr().numpy()


def seven_bits(layer):  # fbgemm and onednn saturate with 8 on CPUs without VNNI
    scale, zero_point = layer.x_scale * 2, layer.x_zero_point // 2
    real = dequantize_linear(layer.x, layer.x_scale, layer.x_zero_point)
    x = np.minimum(quantize_linear(real, scale, zero_point), 127)
    return layer._replace(x=x, x_scale=scale, x_zero_point=zero_point)


# %% compare
from handbook.record import record, table

narrow = [seven_bits(layer) for layer in layers]
RUNTIMES = {"ONNX Runtime": (layers, [layer.output for layer in layers])}
for engine, inputs in (("qnnpack", layers), ("fbgemm", narrow), ("onednn", narrow)):
    RUNTIMES[f"PyTorch, {engine}"] = inputs, [torch_outputs(layer, engine) for layer in inputs]
PLAIN, FLOAT_BIAS = ("as ONNX defines it", {}), ("bias in float32", {"float_bias": True})
ADDED = ("and zero point before rounding", {"float_bias": True, "zero_point_first": True})
FORMULAS = [[PLAIN], [PLAIN], [PLAIN, FLOAT_BIAS], [PLAIN, FLOAT_BIAS, ADDED]]
rows = []
for (runtime, (inputs, outputs)), formulas in zip(RUNTIMES.items(), FORMULAS, strict=True):
    for formula, details in formulas:
        ours = np.concatenate([numpy_outputs(layer, **details).ravel() for layer in inputs])
        difference = np.abs(ours - np.concatenate([y.ravel() for y in outputs]))
        row = {"runtime": runtime, "activation bits": 8 if inputs is layers else 7}
        row |= {"NumPy": formula, "outputs": difference.size, "that differ": (difference > 0).sum()}
        rows.append(row | {"largest difference, LSB": int(difference.max())})
    assert not difference.any() or (runtime == "PyTorch, onednn" and difference.max() == 1)
loose = {"that differ": 1000, "largest difference, LSB": 1}
table("runtimes", rows, tolerance=loose, because="onednn chooses its kernels by the CPU")

# %% bias
layer, output = (each[1] for each in RUNTIMES["PyTorch, fbgemm"])  # a depthwise one
share = (numpy_outputs(layer) != output).sum(axis=(0, 2, 3)) / rows[2]["that differ"]
bias_step = layer.x_scale * layer.w_scale / layer.y_scale  # in LSB of the output
print(f"{layer.name}: {share.max():.0%} in one channel, its step {bias_step.max():.2f} LSB")
assert bias_step.argmax() == share.argmax() and share.max() > 0.5
RANGES = "the ranges that calibration found end in other last bits on another CPU"
record(share=round(100 * float(share.max())), tolerance=10, because=RANGES)
record(bias_step=round(float(bias_step.max()), 2), tolerance=0.05, because=RANGES)
