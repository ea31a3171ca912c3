"""Observers and fake quantizers: what each keeps, what it costs, and the parameters it finds.

Every class of torch.ao.quantization and its twin in torchao.quantization.pt2e sees the same
activations of the running example, 20 batches of 50 images, as they are and with one image that
was not normalized.
Source: torch/ao/quantization/observer.py and fake_quantize.py, and torchao's pt2e/observer.py.
"""

# %% load
import logging
import warnings

import torch
from torch.ao import quantization as torch_ao
from torch.fx.experimental.optimization import fuse

from handbook.data import MEAN, STD, fashion_mnist
from handbook.running_example import load_running_example, predict

logging.disable(logging.WARNING)  # torchao mentions the GPU kernels that it does not find
from torchao.quantization import pt2e as torchao

warnings.filterwarnings("ignore", "torch.ao.quantization is deprecated")

# %% activations
LAYER = "inverted.project.conv"  # no ReLU after it: its output has both signs
model, seen = fuse(load_running_example()), []
model.get_submodule(LAYER).register_forward_hook(lambda layer, x, y: seen.append(y))
images = fashion_mnist("train")[0][:1000]
with_outlier = images.copy()
with_outlier[525] = with_outlier[525] * STD + MEAN  # 0 to 255: somebody forgot to normalize it
predict(model, images)
predict(model, with_outlier)
clean, outlier = torch.cat(seen[:2]).split(50), torch.cat(seen[2:]).split(50)
print(len(clean), "batches of", list(clean[0].shape))

# %% classes
affine = {"dtype": torch.uint8, "qscheme": torch.per_tensor_affine}
channels = {"dtype": torch.uint8, "qscheme": torch.per_channel_affine, "ch_axis": 1}
average = {"observer": "MovingAverageMinMaxObserver", "quant_min": 0, "quant_max": 255} | affine
OPTIONS = {
    "MinMaxObserver": affine,
    "MovingAverageMinMaxObserver": affine | {"averaging_constant": 0.01},  # the default
    "HistogramObserver": affine | {"bins": 2048},  # the default
    "PerChannelMinMaxObserver": channels,
    "MovingAveragePerChannelMinMaxObserver": channels,
    "FixedQParamsObserver": affine | {"scale": 0.05, "zero_point": 128},
    "FakeQuantize": average,
    "FusedMovingAvgObsFakeQuantize": average,
}


def create(package, name):
    options = dict(OPTIONS[name])
    if "observer" in options:  # each package has its own classes
        options["observer"] = getattr(package, options["observer"])
    return getattr(package, name)(**options)


def observe(observer, batches):
    for batch in batches:
        observer(batch)
    return [parameter.tolist() for parameter in observer.calculate_qparams()]


# %% results
from handbook.measure import latency, speedup
from handbook.record import TIMING, table

observers = {name: create(torch_ao, name) for name in OPTIONS}
times = latency({name: lambda o=o: o(clean[0]) for name, o in observers.items()}, rounds=20)
rows = []
for name in OPTIONS:
    used = create(torch_ao, name)
    parameters = observe(used, clean), observe(create(torch_ao, name), outlier)
    assert parameters[0] == observe(create(torchao, name), clean)  # to the bit
    assert parameters[1] == observe(create(torchao, name), outlier)
    row = {"class": name}
    row["bytes"] = sum(buffer.nbytes for buffer in used.buffers())
    row["relative time"] = speedup(times[name], times["MinMaxObserver"])
    for case, (scale, zero_point) in zip(("", ", outlier"), parameters, strict=True):
        several = f"{min(scale):.3f} to {max(scale):.3f}"
        row[f"scale{case}"] = several if len(scale) > 1 else f"{scale[0]:.4f}"
        several = f"{min(zero_point)} to {max(zero_point)}"
        row[f"zero point{case}"] = several if len(zero_point) > 1 else str(zero_point[0])
    rows.append(row)
tolerance = {"relative time": TIMING, "scale": 0.01, "zero point": 2}
tolerance |= {"scale, outlier": 0.1, "zero point, outlier": 10}
table("results", rows, tolerance=tolerance, because="another CPU's float32 kernels sum otherwise")
plain, moving, histogram = (float(row["scale, outlier"]) for row in rows[:3])
assert plain > 10 * float(rows[0]["scale"])  # one image in 1000 takes the whole range
assert moving < 2 * float(rows[1]["scale"]) and histogram > moving
