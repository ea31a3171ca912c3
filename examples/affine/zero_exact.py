"""Why zero must be exact: padding and ReLU.

A 3x3 convolution of the running example, its input on a grid that holds 0 and on the same grid half
a step aside: the error at the border and inside, and the error's mean.
Source: gemmlowp's doc/quantization.md, which predicts the bias.
"""

# %% load
import torch
from torch.fx.experimental.optimization import fuse

from handbook.data import fashion_mnist
from handbook.running_example import load_running_example, predict

model = fuse(load_running_example())  # folds each BatchNorm into its convolution
inputs = []
for name in ("separable1.depthwise.conv", "branch3x3.conv"):
    layer = model.get_submodule(name)
    layer.register_forward_pre_hook(lambda _, arguments: inputs.append(arguments[0]))
predict(model, fashion_mnist("test")[0][:500])
after_relu, x = inputs  # (500, 16, 14, 14) and, after an addition, (500, 64, 7, 7)
layer = model.branch3x3.conv


# %% grids
def on_grid(x, offset):
    """The nearest of 256 values (q + offset) * scale."""
    low, high = min(x.min(), 0), max(x.max(), 0)
    scale = (high - low) / 255
    return (torch.round(x / scale - offset) + offset) * scale, scale


def convolve(x, offset):
    """The padding, too, can only be a value of the grid: the nearest one to 0."""
    x = torch.nn.functional.pad(x, (1, 1, 1, 1))
    if offset is not None:
        x, _ = on_grid(x, offset)
    return torch.nn.functional.conv2d(x, layer.weight)


with torch.inference_mode():
    exact = convolve(x, None)
    errors = {"0 is a value of the grid": convolve(x, 0.0) - exact}
    errors["0 lies between two values"] = convolve(x, 0.5) - exact

# %% border
from handbook.figure import figure, plt
from handbook.record import record, table

rows = []
fig, ax = plt.subplots()
for grid, error in errors.items():
    corners = error[:, :, ::6, ::6].square().mean().sqrt()
    inside = error[:, :, 1:-1, 1:-1].square().mean().sqrt()
    row = {"grid": grid, "RMS error inside": inside, "RMS error at the corners": corners}
    rows.append({key: v if isinstance(v, str) else round(v.item(), 4) for key, v in row.items()})
    rows[-1]["corners / inside"] = round((corners / inside).item(), 2)
    ax.plot(error.square().mean((0, 1)).sqrt()[:, 0], "o-", label=grid)
ax.set(xlabel="row of the output, first column", ylabel="RMS error", ylim=(0, 0.022))
ax.legend()
figure("border_error", fig)
columns = {"RMS error inside": 1e-3, "RMS error at the corners": 1e-3, "corners / inside": 0.05}
table("border", rows, tolerance=columns, because="values near a tie round to the other side")
good, bad = (row["corners / inside"] for row in rows)
assert good < 1 < bad

# %% relu
zeros = (after_relu == 0).float().mean().item()
moved, scale = on_grid(after_relu, 0.5)
bias = ((moved - after_relu).mean() / scale).item()
exact_bias = ((on_grid(after_relu, 0.0)[0] - after_relu).mean() / scale).item()
print(f"zeros: {100 * zeros:.1f} %  each becomes {moved[after_relu == 0].max() / scale:.2f} steps")
print(f"mean error of all values in steps: {exact_bias:.3f} if 0 is exact, {bias:.3f} if not")
because = "another CPU adds up in another order"
record(zero_percent=round(100 * zeros, 1), tolerance=0.5, because=because)
record(bias=round(bias, 3), exact_bias=round(exact_bias, 3), tolerance=0.02, because=because)
assert bias > 0.1 > 10 * abs(exact_bias)
