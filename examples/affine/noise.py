"""The noise of quantization: 6.02 dB for each bit.

The signal-to-quantization-noise ratio of three tensors from 2 to 12 bits, against the formula that
takes the rounding error for uniform noise, step ** 2 / 12.
Source: Kester, Analog Devices tutorial MT-001, which derives step ** 2 / 12.
"""

# %% load
import numpy as np
import torch
from torch.fx.experimental.optimization import fuse

from handbook.data import fashion_mnist
from handbook.running_example import load_running_example

model = fuse(load_running_example())
seen = []
model.inverted.project.conv.register_forward_hook(lambda layer, inputs, output: seen.append(output))
with torch.inference_mode():
    model(torch.from_numpy(fashion_mnist("test")[0][:200]))
tensors = {
    "uniform": np.random.default_rng(0).uniform(-1, 1, 200_000),
    "activation": seen[0].numpy().astype(np.float64).ravel(),
    "weights": model.inverted.project.conv.weight.detach().numpy().astype(np.float64).ravel(),
}


# %% measure
def step_size(x, bits):
    """The step when 2 ** bits levels span the range of x."""
    return (x.max() - x.min()) / (2**bits - 1)


def measured_sqnr(x, bits):
    """Signal-to-quantization-noise ratio in dB of x, quantized and dequantized."""
    step = step_size(x, bits)
    levels = np.round((x - x.min()) / step)
    noise = levels * step + x.min() - x
    return 10 * np.log10(np.mean(x**2) / np.mean(noise**2))


def predicted_sqnr(x, bits):
    """The same from the formula: the power of the noise is step ** 2 / 12."""
    return 10 * np.log10(np.mean(x**2) / (step_size(x, bits) ** 2 / 12))


# %% table
from handbook.record import record, table

rows = []
for bits in (2, 3, 4, 6, 8, 10, 12):
    row = {"bits": bits}
    for name, x in tensors.items():
        row[f"{name}, dB"] = round(measured_sqnr(x, bits), 2)
        row[f"{name}, formula dB"] = round(predicted_sqnr(x, bits), 2)
    rows.append(row)
SUMS = "the activation's and folded weights' last digits depend on the CPU's kernels"
table("sqnr", rows, tolerance=dict.fromkeys(list(rows[0])[1:], 0.05), because=SUMS)
for row in rows:
    assert abs(row["uniform, dB"] - row["uniform, formula dB"]) < 0.05
    for name in ("activation", "weights"):  # fit when the step is small against the bell
        assert row["bits"] < 4 or abs(row[f"{name}, dB"] - row[f"{name}, formula dB"]) < 0.2
assert rows[0]["activation, formula dB"] - rows[0]["activation, dB"] > 1  # 2 bits are too few
gain = np.diff([measured_sqnr(tensors["activation"], bits) for bits in range(8, 13)]).mean()
record(gain=round(gain, 2), tolerance=0.03, because=SUMS)
assert abs(gain - 20 * np.log10(2)) < 0.1

# %% figure
from handbook.figure import figure, plt

fig, ax = plt.subplots()
for index, name in enumerate(tensors):
    bits = [row["bits"] for row in rows]
    ax.plot(bits, [row[f"{name}, formula dB"] for row in rows], color=f"C{index}", linewidth=1)
    ax.plot(bits, [row[f"{name}, dB"] for row in rows], f"C{index}o", label=name)
ax.set(xlabel="bits", ylabel="SQNR, dB")
ax.legend()
figure("sqnr", fig)
