"""FX graph mode: how fast the int8 model is.

One image and 100 images, one thread, against float as it is and float at its best: batch
normalization folded, channels last, as the int8 model has them.
Source: torch.ao.quantization.quantize_fx; timed with handbook.measure.latency.
"""

# %% load
import copy
import warnings
from functools import partial

import torch
from torch.ao.quantization import get_default_qconfig_mapping
from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx
from torch.fx.experimental.optimization import fuse

from handbook.data import fashion_mnist
from handbook.running_example import load_running_example, predict

warnings.simplefilter("ignore")  # the deprecation notices that errors.py shows
torch.set_num_threads(1)
torch.backends.quantized.engine = "x86"

model = load_running_example()
calibration_images = fashion_mnist("train")[0][:1000]
test_images = torch.from_numpy(fashion_mnist("test")[0])

# %% quantize
mapping = get_default_qconfig_mapping("x86")
prepared = prepare_fx(copy.deepcopy(model), mapping, (test_images[:1],))
predict(prepared, calibration_images)
quantized = convert_fx(prepared)
best_float = fuse(model).to(memory_format=torch.channels_last)

# %% latency
from handbook.measure import has_int8_dot_product, latency, speedup
from handbook.record import TIMING, record, table

rows, ratios = [], {}
for count in (1, 100):
    images = test_images[:count]
    channels_last = images.contiguous(memory_format=torch.channels_last)
    calls = {
        "float32": partial(model, images),
        "float32, folded, channels last": partial(best_float, channels_last),
        # A copy: a quantized layer keeps one oneDNN kernel, that of the first shape it meets.
        "int8, x86": partial(copy.deepcopy(quantized), images),
    }
    with torch.inference_mode():
        times = latency(calls)
    best, int8 = times["float32, folded, channels last"], times["int8, x86"]
    ratios[count] = speedup(best, int8)
    for run, time in times.items():
        row = {"images at once": count, "model": run, "median ms": round(time.median_ms, 2)}
        row["quartiles ms"] = f"{time.low_ms:.2f} to {time.high_ms:.2f}"
        rows.append(row | {"times as fast as float32": speedup(times["float32"], time)})
timing = dict.fromkeys(("median ms", "quartiles ms", "times as fast as float32"), TIMING)
table("latency", rows, tolerance=timing)
record(ratio_1=ratios[1], ratio_100=ratios[100], tolerance=TIMING)
if has_int8_dot_product():
    assert ratios[100] > 1.1  # 100 images: int8 is faster than the best float

# %% wrong_shape_first
used, fresh = copy.deepcopy(quantized), copy.deepcopy(quantized)
image, many = test_images[:1], test_images[:500]
with torch.inference_mode():
    used(many)
    times = latency({"500 images first": partial(used, image), "fresh": partial(fresh, image)})
slower = speedup(times["500 images first"], times["fresh"])
record(slower=slower, tolerance=TIMING)
if has_int8_dot_product():  # without VNNI, the engine chooses FBGEMM, which keeps no kernel
    assert slower > 1.1
