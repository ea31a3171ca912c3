"""Five ways to choose a range from calibration data, a few lines of NumPy each.

The thresholds that they pick for the input of every layer, from 500 training images.
Source: Wu et al. 2020 (arXiv:2004.09602); for the entropy, the pseudocode of Migacz 2017.
"""

# %% observe
import numpy as np
import torch
from torch.fx.experimental.optimization import fuse

from handbook.data import fashion_mnist
from handbook.running_example import load_running_example, predict


def observe(images):
    """Inputs of each layer of the float network, a list of batches."""
    model, seen = fuse(load_running_example()), {}  # BatchNorm folded into the convolutions
    for name, layer in model.named_modules():
        if isinstance(layer, torch.nn.Conv2d | torch.nn.Linear):
            batches = seen.setdefault(name, [])
            layer.register_forward_pre_hook(lambda m, x, b=batches: b.append(x[0].numpy().copy()))
    for batch in np.split(images, 10):
        predict(model, batch)
    return seen


# %% simple
def minmax(batches):
    return max(np.abs(batch).max() for batch in batches)


def moving_average(batches, constant=0.01):
    average = np.abs(batches[0]).max()
    for batch in batches[1:]:
        average += constant * (np.abs(batch).max() - average)
    return average


def percentile(batches, percent):
    return np.percentile(np.abs(np.concatenate(batches)), percent)


# %% entropy
def entropy(batches, bits):
    x = np.concatenate(batches)
    levels = 2**bits if x.min() >= 0 else 2 ** (bits - 1)  # for the magnitudes
    magnitudes = np.abs(x[x != 0])  # zero is exact whatever the threshold
    counts, edges = np.histogram(magnitudes, 2048, range=(0, magnitudes.max()))
    divergence = {}
    for bins in range(2048, levels - 1, -8):  # the candidates, first of all the maximum
        inside, level = counts[:bins], np.arange(bins) * levels // bins  # the level of each bin
        mean = np.bincount(level, inside) / np.maximum(np.bincount(level, inside > 0), 1)
        q = np.where(inside > 0, mean[level], 0)  # a level cannot tell its bins apart
        p = inside.astype(float)
        p[-1] += counts[bins:].sum()  # what is clipped lands on the last bin
        p, q, some = p / p.sum(), q / max(q.sum(), 1), p > 0
        if q[some].all():  # else the last bin was empty: the divergence is infinite
            divergence[edges[bins]] = (p[some] * np.log(p[some] / q[some])).sum()
    assert min(divergence.values()) > -1e-9  # none is below 0
    return min(divergence, key=divergence.get)


# %% mse
def mse(batches, bits):
    x = np.concatenate(batches).ravel()[::17]  # a sample will do
    errors = {}
    for threshold in np.linspace(0.01, 1, 100) * np.abs(x).max():
        low = max(x.min(), -threshold)
        step = (threshold - low) / (2**bits - 1)
        errors[threshold] = np.square(np.rint(np.clip(x, low, threshold) / step) * step - x).sum()
    return min(errors, key=errors.get)


# %% ranges
import json

from handbook.record import artifact

images, raw = fashion_mnist("train")[0][:500], fashion_mnist("train", raw=True)[0][:500]
one_outlier = images.copy()
one_outlier[55, 0] = raw[55]  # in batch 1: from 0 to 255, the others are from -0.8 to 2
ranges = {}
for calibration, calibration_images in {"clean": images, "one outlier": one_outlier}.items():
    for layer, batches in observe(calibration_images).items():
        low = min(batch.min() for batch in batches)
        for bits in (8, 4):
            thresholds = {
                "minimum and maximum": minmax(batches),
                "moving average": moving_average(batches),
                "moving average, outlier first": moving_average(batches[1::-1] + batches[2:]),
                "percentile 99.9": percentile(batches, 99.9),
                "percentile 99.99": percentile(batches, 99.99),
                "entropy": entropy(batches, bits),
                "mean squared error": mse(batches, bits),
            }
            for method, high in thresholds.items():
                key = f"{calibration}/{bits}/{method}"
                ranges.setdefault(key, {})[layer] = [float(max(low, -high)), float(high)]
artifact("affine/calibration_methods/ranges.json").write_text(json.dumps(ranges))
