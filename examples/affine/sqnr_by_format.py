"""The error of each format: a bell curve, real activations, and outliers.

SQNR of every format, measured and by formula, and where an 8-bit float overtakes an integer.
Source: the uniform model of rounding noise; compare van Baalen et al. 2023 (arXiv:2303.17951).
"""

# %% formats
import ml_dtypes
import numpy as np

FLOATS = {"bfloat16": ml_dtypes.bfloat16, "float16": np.float16}
FLOATS |= {"float8 E4M3": ml_dtypes.float8_e4m3fn, "float8 E5M2": ml_dtypes.float8_e5m2}
BITS = {"int16": 16, "int8": 8, "int4": 4}


def rounded(x, name, largest):
    """Round `x`; integers and floats of 8 bits have a scale that reaches `largest`."""
    if name in BITS:
        quant_max = 2 ** (BITS[name] - 1) - 1
        scale = largest / quant_max
        return np.clip(np.rint(x / scale), -quant_max, quant_max) * scale
    dtype = FLOATS[name]
    limit = float(ml_dtypes.finfo(dtype).max)
    scale = largest / limit if name.startswith("float8") else 1
    return np.clip(x / scale, -limit, limit).astype(dtype).astype(np.float64) * scale


# %% sqnr
def sqnr(x, restored):
    """Signal-to-quantization-noise ratio in dB."""
    return 10 * np.log10(np.square(x).sum() / np.square(x - restored).sum())


def formula(name, crest):
    """What rounding noise of step ** 2 / 12 predicts."""
    if name in BITS:  # step = largest / (2 ** (bits - 1) - 1)
        return 10 * np.log10(12 * (2 ** (BITS[name] - 1) - 1) ** 2) - 20 * np.log10(crest)
    precision = ml_dtypes.finfo(FLOATS[name]).nmant + 1
    return 6.02 * precision + 10 * np.log10(8 * np.log(2))  # the mean over a binade


# %% tensors
import torch

from handbook.data import fashion_mnist
from handbook.running_example import load_running_example

gaussian = np.random.default_rng(0).standard_normal(100_000)
model = load_running_example()
images = torch.from_numpy(fashion_mnist("train")[0][:200])
with torch.inference_mode():  # up to the depthwise convolution of the inverted residual
    hidden = model.separable2(model.separable1(model.stem(images)))
    hidden = model.inverted.depthwise(model.inverted.expand(hidden))
activation = hidden.numpy().astype(np.float64).ravel()

# %% table
from handbook.record import record, table


def crest(x):  # the crest factor: largest value over RMS
    return np.abs(x).max() / np.sqrt(np.square(x).mean())


def best_clip(x, name):
    """The best SQNR of 60 ranges: clipping the few largest values makes the step smaller."""
    return max(sqnr(x, rounded(x, name, np.abs(x).max() * f)) for f in np.linspace(1, 0.1, 60))


rows = []
for name in [*FLOATS, *BITS]:
    row = {"format": name}
    for title, x in {"Gaussian": gaussian, "activation": activation}.items():
        row[f"{title}, dB"] = round(sqnr(x, rounded(x, name, np.abs(x).max())), 1)
        if title == "Gaussian":
            row["by formula, dB"] = round(formula(name, crest(x)), 1)
            assert abs(formula(name, crest(x)) - row["Gaussian, dB"]) < 0.2
    row["activation, best range, dB"] = round(best_clip(activation, name), 1)
    assert row["activation, best range, dB"] >= row["activation, dB"]
    rows.append(row)
digit = {column: 0.21 for column in rows[0] if "dB" in column}
table("sqnr", rows, tolerance=digit, because="float32 kernels sum in another order")
record(gaussian_crest=round(crest(gaussian), 1))
record(activation_crest=round(crest(activation), 1), tolerance=0.2, because="as above")

# %% outliers
from handbook.figure import figure, plt

ranges = np.geomspace(4.5, 1000, 40)  # what the scale must reach, in standard deviations
fig, ax = plt.subplots()
curves = {}
for name, line in {"int8": "-", "float8 E4M3": "--", "float8 E5M2": ":"}.items():
    curves[name] = np.array([sqnr(gaussian, rounded(gaussian, name, reach)) for reach in ranges])
    ax.plot(ranges, curves[name], line, label=name)
ax.set(xlabel="largest value, in standard deviations", ylabel="SQNR, dB", xscale="log")
ax.xaxis.set_major_formatter("{x:g}")
ax.legend()
figure("outliers", fig)
record(crossing=round(float(ranges[np.argmax(curves["float8 E4M3"] > curves["int8"])])))
assert curves["int8"][0] > curves["float8 E4M3"][0] + 6
assert curves["int8"][-1] < curves["float8 E4M3"][-1] - 20
