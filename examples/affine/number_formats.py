"""The ladder of number formats: what each of them can represent.

Range, precision and step of the floats and the integers that networks are stored in, counted from
the formats themselves, and the step against the magnitude of the value.
Source: ml_dtypes; IEEE 754 (float32, float16); Kalamkar et al. 2019 (arXiv:1905.12322) on bfloat16;
Micikevicius et al. 2022 (arXiv:2209.05433) on 8-bit floats.
"""

# %% formats
import ml_dtypes
import numpy as np

FLOATS = {
    "float32": np.float32,
    "bfloat16": ml_dtypes.bfloat16,
    "float16": np.float16,
    "float8 E4M3": ml_dtypes.float8_e4m3fn,
    "float8 E5M2": ml_dtypes.float8_e5m2,
}
INTEGERS = {"int16": 16, "int8": 8, "int4": 4}  # each with one scale

# %% floats
from handbook.record import record, table

rows = []
for name, dtype in FLOATS.items():
    info = ml_dtypes.finfo(dtype)
    row = {"format": name, "exponent bits": info.nexp, "mantissa bits": info.nmant}
    row["largest value"] = f"{float(info.max):.6g}"
    row["smallest normal"] = f"{float(info.smallest_normal):.3g}"
    row["smallest subnormal"] = f"{float(info.smallest_subnormal):.3g}"
    exact = 2 ** (info.nmant + 1)
    assert float(dtype(exact)) == exact and float(dtype(exact + 1)) == exact  # the first gap
    row["integers exact up to"] = exact
    row["largest relative error %"] = f"{100 / exact:.3g}"  # half a step of 2 / exact
    rows.append(row)
table("floats", rows)
record(float16_max=float(np.finfo(np.float16).max), e4m3_max=448)

# %% integers
rows = []
for name, bits in INTEGERS.items():
    quant_max = 2 ** (bits - 1) - 1
    row = {"format": name, "integers": f"{-quant_max - 1} to {quant_max}"}
    row["step, of the largest value"] = f"1 / {quant_max}"
    row["error, at most half a step %"] = f"{50 / quant_max:.3g}"
    rows.append(row)
table("integers", rows)

# %% bits
one_third = np.array([1 / 3], np.float32)
for name, dtype in FLOATS.items():
    value = one_third.astype(dtype)
    width = 8 * value.itemsize
    pattern = f"{int(value.view(f'u{value.itemsize}')[0]):0{width}b}"
    exponent = ml_dtypes.finfo(dtype).nexp
    split = " ".join((pattern[0], pattern[1 : 1 + exponent], pattern[1 + exponent :]))
    print(f"{name:12} {split:36} {float(value[0]):.9f}")

# %% steps
from handbook.figure import figure, plt

magnitudes = 2.0 ** np.arange(-22, 18, 0.25)
fig, ax = plt.subplots(figsize=(5.4, 4.2))
COLORS = ("C0", "C1", "C2", "C3", "C6")  # C4 is too near C0, C5 to C3
for (name, dtype), color in zip(FLOATS.items(), COLORS, strict=True):
    info = ml_dtypes.finfo(dtype)
    inside = magnitudes[
        (magnitudes >= float(info.smallest_subnormal)) & (magnitudes <= float(info.max))
    ]
    exponent = np.maximum(np.floor(np.log2(inside)), np.log2(float(info.smallest_normal)))
    line = ":" if "float8" in name else "-"
    ax.plot(inside, 2.0 ** (exponent - info.nmant), line, color=color, label=name)
for name, line in (("int16", "--"), ("int8", "-.")):
    step = 8 / (2 ** (INTEGERS[name] - 1) - 1)  # a scale that reaches 8
    ax.plot([step, 8], [step, step], line, color="C7", label=f"{name}, range 8")
ax.set(xlabel="magnitude of the value", ylabel="step to the next value", xscale="log", yscale="log")
ax.legend(fontsize=9)
figure("steps", fig)
