"""The error of a range: rounding within it, clipping beyond.

A real activation, quantized with every threshold: a wide range has large steps, a narrow one cuts
values off, and the best is between.
Source: our own look at it.
"""

# %% observe
import numpy as np
from torch.fx.experimental.optimization import fuse

from handbook.data import fashion_mnist
from handbook.running_example import load_running_example, predict

model = fuse(load_running_example())  # folds each BatchNorm into its convolution
observed = []
model.inverted.depthwise.relu.register_forward_hook(
    lambda layer, inputs, output: observed.append(output.numpy().copy())
)
predict(model, fashion_mnist("train")[0][:1000])
x = np.concatenate(observed)
print(x.shape, x.dtype, f"from {x.min():g} to {x.max():.2f}, {np.mean(x == 0):.0%} zeros")

# %% histogram
from handbook.record import record, table

positive = x[x > 0]  # zero is exact whatever the scale
counts, edges = np.histogram(positive, 128, range=(0, x.max()))
rows = [
    {"upper edge": round(float(edge), 4), "count": count}
    for edge, count in zip(edges[1:], counts.tolist(), strict=True)
]
table(
    "histogram",
    rows,
    tolerance={"upper edge": 1e-3, "count": 100},
    because="another CPU's kernels sum in another order",
)
record(zeros=int((x == 0).sum()), tolerance=100, because="as in the histogram")

# %% halves
first, second = x[:500], x[500:]
above = int((second > first.max()).sum())
print(f"images 1 to 500: up to {first.max():.2f}, images 501 to 1000: up to {second.max():.2f}")
print(f"values beyond the first maximum: {above} of {second.size}")
assert above == 2


# %% error
def squared_error(counts, edges, threshold, bits):
    """Sum of squared rounding and of clipping errors, the values spread evenly in each bin."""
    step = threshold / (2**bits - 1)

    def rounding(value):
        """The integral of (v - restored v) ** 2 from 0 to `value`."""
        whole = np.rint(value / step)
        return step**3 * (whole / 12 + (value / step - whole) ** 3 / 3)

    inside = np.minimum(edges, threshold)
    beyond = np.maximum(edges - threshold, 0) ** 3 / 3  # the integral of (v - threshold) ** 2
    density = counts / np.diff(edges)
    return density @ np.diff(rounding(inside)), density @ np.diff(beyond)


def quantize(x, threshold, bits):
    """Quantize and dequantize, unsigned: the zero point of a range from 0 is the lowest integer."""
    step = threshold / (2**bits - 1)
    return np.clip(np.rint(x / step), 0, 2**bits - 1) * step


# %% thresholds
bits = 4
thresholds = np.linspace(0.1, 1, 91) * x.max()
errors = np.array([squared_error(counts, edges, t, bits) for t in thresholds]) / x.size
best = thresholds[errors.sum(axis=1).argmin()]
measured = np.square(quantize(x, best, bits) - x, dtype=np.float64).mean()
print(f"best threshold: {best:.2f}, error {errors.sum(axis=1).min():.3g}, measured {measured:.3g}")
assert abs(errors.sum(axis=1).min() / measured - 1) < 0.05  # as from the values themselves

# %% figure
from handbook.figure import figure, plt

fig, ax = plt.subplots()
ax.plot(thresholds, errors[:, 0], "--", label="rounding")
ax.plot(thresholds, errors[:, 1], ":", label="clipping")
ax.plot(thresholds, errors.sum(axis=1), label="sum")
ax.plot(best, errors.sum(axis=1).min(), "o", color="C2", label="smallest sum")
ax.set(xlabel="threshold", ylabel="mean squared error", yscale="log", ylim=(1e-4, 1e-1))
ax.legend()
figure("clipping_error", fig)
