"""One layer's range from each method, and what it costs.

The thresholds of six calibrations on the histogram of a real activation, and the error on images
that none of them has seen.
Source: our own measurement.
"""

# %% load
import json

import numpy as np
from torch.fx.experimental.optimization import fuse

from handbook.data import fashion_mnist
from handbook.record import artifact, table
from handbook.running_example import load_running_example, predict

LAYER = "inverted.project.conv"  # its input is the output of a ReLU
model = fuse(load_running_example())
seen = []
model.get_submodule(LAYER).register_forward_pre_hook(lambda layer, x: seen.append(x[0].numpy()))
predict(model, fashion_mnist("test")[0][:1000])
x = np.concatenate(seen)
ranges = json.loads(artifact("affine/calibration_methods/ranges.json").read_text())
thresholds = {key: layers[LAYER][1] for key, layers in ranges.items()}


# %% error
def sqnr_db(x, threshold, bits):
    step = threshold / (2**bits - 1)
    restored = np.clip(np.rint(x / step), 0, 2**bits - 1) * step
    noise = np.square(restored - x, dtype=np.float64).sum()
    return 10 * np.log10(np.square(x, dtype=np.float64).sum() / noise)


# %% results
methods = [key.split("/")[2] for key in ranges if key.startswith("clean/8/")]
methods.remove("moving average, outlier first")
columns = {"threshold": 0.5, "SQNR dB": 1.0}
tolerance = {f"{bits} bits, {name}": width for bits in (8, 4) for name, width in columns.items()}
because = "another CPU's kernels sum in another order, which can move a threshold by a candidate"
for calibration in ("clean", "one outlier"):
    rows = []
    for method in methods:
        row = {"method": method}
        for bits in (8, 4):
            threshold = thresholds[f"{calibration}/{bits}/{method}"]
            row[f"{bits} bits, threshold"] = round(threshold, 2)
            row[f"{bits} bits, SQNR dB"] = round(sqnr_db(x, threshold, bits), 1)
        rows.append(row)
    if calibration == "one outlier":
        tolerance = {name: width * 20 if "thr" in name else 3 for name, width in tolerance.items()}
    table(calibration.replace(" ", "_"), rows, tolerance=tolerance, because=because)
    decibels = {row["method"]: row["4 bits, SQNR dB"] for row in rows}
    assert decibels["entropy"] < decibels["percentile 99.9"] - 0.5

# %% figure
from handbook.figure import figure, plt

fig, ax = plt.subplots()
ax.hist(x[x > 0], 120, log=True, color="C0", alpha=0.6)
top = ax.get_xaxis_transform()  # x in data, y from 0 to 1
for method in methods:
    threshold = thresholds[f"clean/8/{method}"]
    ax.axvline(threshold, color="C1")
    place = {"xytext": (-1, 0), "textcoords": "offset points", "rotation": 90, "size": 9}
    ax.annotate(method, (threshold, 0.98), xycoords=top, ha="right", va="top", **place)
ax.set(xlabel="activation after ReLU", ylabel="count")
figure("thresholds", fig)
