"""The two int8 files, their kernels, and the same integers in NumPy.

All logits of all 10 000 test images: TFLite's reference kernels, XNNPACK and NumPy, for each file;
and the file of the converter against that of the quantizer.
Source: ai_edge_litert.interpreter.OpResolverType; handbook.tflite_arithmetic.
"""

# %% load
import numpy as np
from ai_edge_litert.interpreter import OpResolverType

from handbook.data import fashion_mnist
from handbook.record import artifact
from handbook.tflite import read_tflite, run_tflite
from handbook.tflite_arithmetic import run_integers

pixels, labels = fashion_mnist("test", raw=True)
# Both tools found scale 1/90 and zero point 73 - 128 for the input: the pixels, less 128.
images = (pixels.astype(np.int16) - 128).astype(np.int8)[..., np.newaxis]
RESOLVERS = {"reference kernels": OpResolverType.BUILTIN_REF, "XNNPACK": OpResolverType.AUTO}

# %% run
logits = {}
for tool in ("converter", "quantizer"):
    path = artifact(f"conversion/keras_float_to_tflite_quantized/{tool}.tflite")
    operators = read_tflite(path)
    parameters = operators[0].inputs[0]
    assert (round(1 / parameters.scale, 3), parameters.zero_point) == (90, -55)
    for kernels, resolver in RESOLVERS.items():
        logits[tool, kernels] = run_tflite(path, images, experimental_op_resolver_type=resolver)
    batches = np.split(images, 200)
    for name in ("reference", "xnnpack"):
        parts = [run_integers(operators, batch, name) for batch in batches]
        logits[tool, f"NumPy, as {name}"] = np.concatenate(parts)

# %% results
from handbook.measure import agreement, lsb_difference
from handbook.record import record, table

PAIRS = [
    (("converter", "NumPy, as reference"), ("converter", "reference kernels")),
    (("converter", "NumPy, as xnnpack"), ("converter", "XNNPACK")),
    (("quantizer", "NumPy, as reference"), ("quantizer", "reference kernels")),
    (("quantizer", "NumPy, as xnnpack"), ("quantizer", "XNNPACK")),
    (("converter", "reference kernels"), ("converter", "XNNPACK")),
    (("quantizer", "reference kernels"), ("quantizer", "XNNPACK")),
    (("converter", "XNNPACK"), ("quantizer", "XNNPACK")),
]
rows = []
for a, b in PAIRS:
    x, y = logits[a], logits[b]
    row = {"file": a[0] if a[0] == b[0] else f"{a[0]} and {b[0]}"}
    row |= {"one": a[1], "other": b[1], "identical %": round(100 * float((x == y).mean()), 2)}
    row["largest difference, LSB"] = lsb_difference(x, y)
    rows.append(row | {"same class %": agreement(x.argmax(axis=1), y.argmax(axis=1))})
table("bit_exact", rows[:4])
assert all(row["identical %"] == 100 for row in rows[:4])
wide = {"identical %": 15, "largest difference, LSB": 4, "same class %": 1}
table(
    "between", rows[4:], tolerance=wide, because="scales calibrated on another CPU differ a little"
)
assert all(row["identical %"] < 90 and row["same class %"] > 98 for row in rows[4:])
record(logits=int(logits["converter", "XNNPACK"].size))

# %% figure
from handbook.figure import figure, plt

fig, ax = plt.subplots()
steps = np.arange(-5, 6)
for offset, (a, b) in zip((-0.2, 0.2), (PAIRS[4], PAIRS[6]), strict=True):
    difference = logits[b].astype(int) - logits[a]
    label = "reference kernels, XNNPACK" if a[0] == b[0] else "converter's file, quantizer's file"
    share = [100 * (difference == step).mean() for step in steps]
    ax.bar(steps + offset, share, width=0.4, label=label)
ax.set(xlabel="difference of a logit, LSB", ylabel="logits, %")
fig.legend(loc="outside lower center", fontsize=10)
figure("differences", fig)
