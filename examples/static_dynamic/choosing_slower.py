"""Where int8 is slower than float: layers too small for it.

One Linear layer for one input, in float and dynamically quantized, from tiny to large.
Source: torch.ao.nn.quantized.dynamic.Linear; timed with handbook.measure.latency.
"""

# %% load
import warnings
from functools import partial

import torch
from torch import nn
from torch.ao.quantization import quantize_dynamic

from handbook.measure import has_int8_dot_product, latency, speedup
from handbook.record import TIMING, record, table

warnings.simplefilter("ignore")  # deprecation notices, which another page explains
torch.backends.quantized.engine = "x86"
widths = (16, 64, 256, 1024, 2048)

# %% measure
rows, ratios = [], []
for width in widths:
    layer = nn.Sequential(nn.Linear(width, width)).eval()
    layer_int8, x = quantize_dynamic(layer, {nn.Linear}), torch.randn(1, width)
    with torch.inference_mode():
        times = latency({"float32": partial(layer, x), "int8": partial(layer_int8, x)}, rounds=200)
    ratios.append(speedup(times["float32"], times["int8"]))
    row = {"weights": f"{width} x {width}"}
    for name, time in times.items():
        row[f"{name}, \N{MICRO SIGN}s"] = round(1000 * time.median_ms, 1)
    rows.append(row | {"times as fast": ratios[-1]})
table("linear", rows, tolerance={column: TIMING for column in list(rows[0])[1:]})
record(smallest=round(1 / ratios[0], 1), largest=round(ratios[-1], 1), tolerance=TIMING)
assert ratios[0] < 0.9  # finding the range costs more than so small a product, on any CPU
if has_int8_dot_product():  # and a quarter of the bytes to fetch
    assert ratios[-1] > 1.1

# %% figure
from handbook.figure import figure, plt

fig, ax = plt.subplots()
ax.plot(widths, ratios, "o-")
ax.axhline(1, color="C1", linestyle="--")
ax.text(widths[0], 1.05, "as fast as float", va="bottom")
ax.set(xlabel="width of the layer", ylabel="times as fast", xscale="log")
ax.xaxis.set_major_formatter("{x:g}")
figure("linear", fig)
