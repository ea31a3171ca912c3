"""Calibration data that is not like the data: one class, wrong normalization, noise, black images.

The running example in PyTorch's FX graph mode, with the ranges that eight sets of images give.
Source: torch.ao.quantization.quantize_fx of PyTorch 2.13.
"""

# %% load
import warnings

import numpy as np
import torch
from torch.ao.quantization import (
    MinMaxObserver,
    QConfig,
    QConfigMapping,
    default_per_channel_weight_observer,
)
from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

from handbook.data import MEAN, STD, fashion_mnist
from handbook.measure import SCORE_TOLERANCE, score
from handbook.record import table
from handbook.running_example import load_running_example, predict

warnings.simplefilter("ignore")  # the deprecation notices that the FX page explains
torch.backends.quantized.engine = "x86"
torch.set_num_threads(1)
images, classes = (part[:5000] for part in fashion_mnist("train"))
test_images, labels = fashion_mnist("test")
pixels = images[:500] * STD + MEAN  # 0 to 255

# %% sets
rng = np.random.default_rng(0)
calibration = {
    "500 training images": images[:500],
    "sneakers only": images[classes == 7][:300],
    "trousers only": images[classes == 1][:300],
    "inverted images": (255 - pixels - MEAN) / STD,
    "normal noise": rng.standard_normal(pixels.shape, dtype=np.float32),
    "black images only": np.full_like(pixels[:1], -MEAN / STD),
    "pixels 0 to 255, not normalized": pixels,
    "pixels 0 to 1, not normalized": pixels / 255,
}


# %% quantize
def quantize(calibration_images):
    observer = MinMaxObserver.with_args(reduce_range=True)  # 7 bits: exact on every x86 CPU
    qconfig = QConfig(activation=observer, weight=default_per_channel_weight_observer)
    mapping = QConfigMapping().set_global(qconfig)
    prepared = prepare_fx(load_running_example(), mapping, (torch.from_numpy(images[:1]),))
    predict(prepared, calibration_images)
    return convert_fx(prepared)


# %% results
float_logits = predict(load_running_example(), test_images)
rows, correct = [], {}
for name, calibration_images in calibration.items():
    row = {"calibrated on": name, "input from": round(float(calibration_images.min()), 1)}
    row["to"] = round(float(calibration_images.max()), 1)
    rows.append(
        row | score(predict(quantize(calibration_images), test_images), labels, float_logits)
    )
    correct[name] = rows[-1]["accuracy %"]
tolerance = dict.fromkeys(SCORE_TOLERANCE["tolerance"], 5)
table("biased", rows, tolerance=tolerance, because=SCORE_TOLERANCE["because"])
right, *others, black, raw, unit = correct.values()
assert max(right - other for other in others) < 2  # one class, inverted, noise: harmless here
assert black < right - 5 and max(raw, unit) < right - 20
