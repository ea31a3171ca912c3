"""The affine transformation: real values to integers and back.

An activation of the running example, quantized with the range that training images gave: the error
is half a step at most, except where a test image leaves that range.
Source: Jacob et al. 2018, section 2.1 (arXiv:1712.05877).
"""

# %% load
import numpy as np
import torch
from torch.fx.experimental.optimization import fuse

from handbook.data import fashion_mnist
from handbook.running_example import load_running_example

model = fuse(load_running_example())  # folds each BatchNorm into its convolution
seen = []
model.inverted.project.conv.register_forward_hook(lambda layer, inputs, output: seen.append(output))
with torch.inference_mode():
    for split in ("train", "test"):
        model(torch.from_numpy(fashion_mnist(split)[0][:200]))
calibration, x = (activation.numpy() for activation in seen)
print(x.dtype, x.shape, "from", x.min(), "to", x.max())

# %% parameters
quant_min, quant_max = -128, 127
low, high = calibration.min(), calibration.max()  # the range on training images
scale = (high - low) / (quant_max - quant_min)
zero_point = int(np.round(quant_min - low / scale))
print(f"range {low:.3f} to {high:.3f}, scale {scale:.5f}, zero point {zero_point}")

# %% quantize
q = np.clip(np.round(x / scale) + zero_point, quant_min, quant_max).astype(np.int8)
print(x[0, 0, 0])
print(q[0, 0, 0])

# %% dequantize
restored = (q.astype(np.int32) - zero_point) * scale
print(restored[0, 0, 0])

# %% error
from handbook.record import record

error = restored - x
representable = (scale * (quant_min - zero_point), scale * (quant_max - zero_point))
outside = (x < representable[0]) | (x > representable[1])
SUMS = "a value at a tie may round the other way after other kernels' sums"
record(outside_percent=round(100 * outside.mean(), 3), tolerance=0.001, because=SUMS)
record(inside_steps=round(np.abs(error[~outside]).max() / scale, 3), tolerance=0.002, because=SUMS)
record(outside_steps=round(np.abs(error).max() / scale, 1), tolerance=0.2, because=SUMS)
assert np.abs(error[~outside]).max() <= scale / 2 * (1 + 1e-4)  # the division rounds, in float32
assert outside.any() and np.abs(error[outside]).max() > scale / 2

# %% zero
after_relu = np.maximum(x, 0)
q = np.clip(np.round(after_relu / scale) + zero_point, quant_min, quant_max).astype(np.int8)
zeros = after_relu == 0
print(f"{zeros.mean():.0%} zeros, all of them the integer {np.unique(q[zeros])}")
assert ((q.astype(np.int32) - zero_point) * scale)[zeros].max() == 0

# %% figure
from handbook.figure import figure, plt

chosen = np.concatenate([x[~outside][::200], x[outside]])
kept = np.clip(np.round(chosen / scale) + zero_point, quant_min, quant_max)
fig, ax = plt.subplots()
ax.plot(chosen, ((kept - zero_point) * scale - chosen) / scale, ".", markersize=3)
for bound in representable:
    ax.axvline(bound, color="C1", linestyle="--", linewidth=1)
ax.set(xlabel="real value", ylabel="error, in steps")
figure("error", fig)
