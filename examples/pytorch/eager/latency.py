"""Eager mode: how fast the int8 model is, engine by engine.

One image and 100 images, one thread, against float as it is and float at its best: batch
normalization folded, channels last, as the int8 model has them.
Source: torch.ao.quantization; timed with handbook.measure.latency.
"""

# %% load
import warnings
from functools import partial

import torch
from torch.ao.quantization import convert, fuse_modules, get_default_qconfig, prepare

from handbook.data import fashion_mnist
from handbook.eager_example import load_eager_example, modules_to_fuse
from handbook.running_example import load_running_example, predict

warnings.simplefilter("ignore")  # the deprecation notices that ptq_static.py names
torch.set_num_threads(1)
calibration_images = fashion_mnist("train")[0][:200]
test_images = torch.from_numpy(fashion_mnist("test")[0])

# %% quantize
model = load_eager_example()
best_float = fuse_modules(model, modules_to_fuse(model)).to(memory_format=torch.channels_last)


def quantized(engine):
    torch.backends.quantized.engine = engine
    fused = fuse_modules(model, modules_to_fuse(model))
    fused.qconfig = get_default_qconfig(engine)
    prepared = prepare(fused)
    predict(prepared, calibration_images)
    return convert(prepared)


def run(engine, quantized_model, images):
    torch.backends.quantized.engine = engine  # additions ask for it at each call
    return quantized_model(images)


# %% latency
from handbook.measure import has_int8_dot_product, latency, speedup
from handbook.record import TIMING, record, table

rows, ratios = [], {}
BEST = "float32, folded, channels last"
for count in (1, 100):
    images = test_images[:count]
    channels_last = images.contiguous(memory_format=torch.channels_last)
    calls = {"float32": partial(load_running_example(), images)}
    calls[BEST] = partial(best_float, channels_last)
    for engine in ("x86", "fbgemm", "onednn", "qnnpack"):
        # Quantized anew: a oneDNN layer keeps the kernel of the first shape that it meets.
        calls[f"int8, {engine}"] = partial(run, engine, quantized(engine), images)
    with torch.inference_mode():
        times = latency(calls)
    for name, time in times.items():
        ratios[name, count] = speedup(times[BEST], time)
        row = {"images at once": count, "model": name, "median ms": round(time.median_ms, 2)}
        row["quartiles ms"] = f"{time.low_ms:.2f} to {time.high_ms:.2f}"
        rows.append(row | {"times as fast as the best float": ratios[name, count]})
timing = dict.fromkeys(("median ms", "quartiles ms", "times as fast as the best float"), TIMING)
table("latency", rows, tolerance=timing)
slower = round(1 / ratios["int8, qnnpack", 100], 1)
record(onednn_100=ratios["int8, onednn", 100], qnnpack_slower=slower, tolerance=TIMING)
if has_int8_dot_product():
    assert ratios["int8, x86", 100] > 1.1 and ratios["int8, onednn", 100] > 1.1
