"""NumPy's logits beside those of TFLite's kernels, bit for bit.

The network of integer_only_inference.py, TFLite's reference kernels, its optimized ones, and
XNNPACK, which is what runs by default: all logits of all test images.
Source: ai_edge_litert.interpreter.OpResolverType.
"""

# %% run
import numpy as np
from ai_edge_litert.interpreter import OpResolverType

from handbook.data import fashion_mnist
from handbook.record import artifact
from handbook.tflite import run_tflite

path = artifact("affine/quantized_models/int8.tflite")
pixels, _ = fashion_mnist("test", raw=True)
images = (pixels.astype(np.int16) - 128).astype(np.int8)[..., np.newaxis]  # as the file asks for
RESOLVERS = {
    "reference kernels": OpResolverType.BUILTIN_REF,
    "optimized kernels": OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    "XNNPACK": OpResolverType.AUTO,  # the default
}
logits = {
    kernels: run_tflite(path, images, experimental_op_resolver_type=resolver)
    for kernels, resolver in RESOLVERS.items()
}
with np.load(artifact("affine/integer_only_inference/logits.npz")) as numpy_logits:
    logits |= {f"NumPy, {name}": numpy_logits[name] for name in numpy_logits}

# %% compare
from handbook.measure import agreement, lsb_difference
from handbook.record import table

PAIRS = [
    ("NumPy, integers only", "reference kernels"),
    ("NumPy, product in float32", "XNNPACK"),
    ("NumPy, one rounding", "reference kernels"),
    ("NumPy, one rounding", "XNNPACK"),
    ("optimized kernels", "reference kernels"),
    ("XNNPACK", "reference kernels"),
]
rows = []
for a, b in PAIRS:
    images_compared = min(len(logits[a]), len(logits[b]))
    x, y = logits[a][:images_compared], logits[b][:images_compared]
    row = {"kernels": a, "compared with": b, "logits": x.size}
    row["identical %"] = round(100 * float((x == y).mean()), 2)
    row["largest difference, LSB"] = lsb_difference(x, y)
    rows.append(row | {"same class %": agreement(x.argmax(axis=1), y.argmax(axis=1))})
assert all(row["identical %"] == 100 for row in rows[:2])
one_rounding, to_xnnpack, optimized, xnnpack = (row["identical %"] for row in rows[2:])
assert xnnpack < 60 and one_rounding < 60 and to_xnnpack > 95  # the second rounding is the reason
table("bit_exact", rows[:2])
loose = {"identical %": 10, "largest difference, LSB": 2, "same class %": 1}
SCALES = "calibrated on another CPU, the file's scales end in other last bits"
table("rounding_once", rows[2:4], tolerance=loose, because=SCALES)
table("between_kernels", rows[4:], tolerance=loose, because=SCALES)

# %% figure
from handbook.figure import figure, plt

fig, ax = plt.subplots()
steps = np.arange(-4, 5)
for offset, (a, b) in ((-0.2, PAIRS[0]), (0.2, PAIRS[-1])):
    difference = logits[a].astype(int) - logits[b]
    share = [100 * (difference == step).mean() for step in steps]
    ax.bar(steps + offset, share, width=0.4, label=a.split(",")[0])
ax.set(xlabel="logit minus that of the reference kernels, LSB", ylabel="logits, %")
ax.legend()
figure("differences", fig)
