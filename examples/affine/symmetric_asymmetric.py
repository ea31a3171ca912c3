"""Symmetric and asymmetric: with and without a zero point.

Both ways to give 256 integers to real activations: steps, levels that are used, errors.
Source: TensorFlow Lite 8-bit quantization specification; Krishnamoorthi 2018 (arXiv:1806.08342).
"""

# %% observe
import numpy as np
from torch.fx.experimental.optimization import fuse

from handbook.data import fashion_mnist
from handbook.running_example import load_running_example, predict

model = fuse(load_running_example())  # folds each BatchNorm into its convolution
layers = [model.inverted.depthwise.relu, model.inverted.project.conv]
seen = {}
for layer in layers:
    layer.register_forward_hook(lambda layer, x, y: seen.update({layer: y.numpy()}))
predict(model, fashion_mnist("train")[0][:500])
relu, signed = (seen[layer] for layer in layers)
print(f"after ReLU: {relu.min():.2f} to {relu.max():.2f}, {np.mean(relu == 0):.0%} zeros")


# %% symmetric
def symmetric(low, high, bits=8):
    """The zero point is 0, and the range reaches equally far to both sides."""
    quant_max = 2 ** (bits - 1) - 1
    return max(-low, high) / quant_max, 0, -quant_max, quant_max


# %% asymmetric
def asymmetric(low, high, bits=8):
    """The lowest integer stands for `low`, the highest for `high`; 0 must be between them."""
    quant_min, quant_max = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    low, high = min(low, 0), max(high, 0)
    scale = (high - low) / (quant_max - quant_min)
    return scale, round(quant_min - low / scale), quant_min, quant_max


# %% quantize
def quantize(x, scale, zero_point, quant_min, quant_max):
    return np.clip(np.rint(x / scale) + zero_point, quant_min, quant_max).astype(np.int32)


q, parameters = {}, {}
for scheme in (symmetric, asymmetric):
    parameters[scheme] = scheme(float(relu.min()), float(relu.max()))
    q[scheme] = quantize(relu, *parameters[scheme])
    print(scheme.__name__, "uses", q[scheme].min(), "to", q[scheme].max())
assert q[symmetric].min() == 0 and q[asymmetric].min() == -128

# %% unsigned
scale, zero_point, _, _ = parameters[asymmetric]
unsigned = quantize(relu, scale, zero_point + 128, 0, 255).astype(np.uint8)
assert (unsigned.astype(int) - 128 == q[asymmetric]).all()  # the same integers, shifted

# %% compare
from handbook.record import table


def sqnr_db(x, restored):
    noise = np.square(restored - x, dtype=np.float64).sum()
    return 10 * np.log10(np.square(x, dtype=np.float64).sum() / noise)


outlier = relu.copy()
outlier[0, 0, 0, 0] = 10 * relu.max()
tensors = {
    "after ReLU": relu,
    "without ReLU": signed,
    "after ReLU, one outlier": outlier,
    "even, from 5 to 6": np.linspace(5, 6, 1001),
}
rows = []
for tensor, x in tensors.items():
    for scheme in (symmetric, asymmetric):
        scale, zero_point, *limits = scheme(float(x.min()), float(x.max()))
        q = quantize(x, scale, zero_point, *limits)
        restored = (q - zero_point) * scale
        row = {"tensor": tensor, "scheme": scheme.__name__, "step": round(scale, 4)}
        row |= {"integers from": q.min(), "to": q.max(), "levels used": len(np.unique(q))}
        row["largest error"] = round(float(np.abs(restored - x).max()), 4)
        rows.append(row | {"SQNR dB": round(sqnr_db(x, restored), 1)})
tolerance = {"step": 1e-3, "levels used": 3, "largest error": 1e-3, "SQNR dB": 0.11}
table("tensors", rows, tolerance=tolerance, because="another CPU's kernels sum in another order")
assert 5.5 < rows[1]["SQNR dB"] - rows[0]["SQNR dB"] < 6.5  # after ReLU: a bit, 6.02 dB

# %% figure
from handbook.figure import figure, plt

fig, axes = plt.subplots(2, sharex=True)
for ax, scheme, color in zip(axes, (symmetric, asymmetric), ("C1", "C2"), strict=True):
    scale, zero_point, quant_min, quant_max = scheme(0, float(relu.max()), bits=4)
    levels = (np.arange(quant_min, quant_max + 1) - zero_point) * scale
    ax.hist(relu[relu > 0], 100, log=True)
    ax.vlines(levels, 0, 1, color=color, transform=ax.get_xaxis_transform(), linewidth=1)
    ax.set_title(f"{scheme.__name__}: {(levels >= 0).sum()} of {levels.size} levels in use")
    ax.set_ylabel("count")
axes[1].set_xlabel("activation")
figure("grids", fig)
