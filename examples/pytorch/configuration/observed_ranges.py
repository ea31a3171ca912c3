"""What observers remember: the width of the range after each batch, with one bad image.

Three observers see 20 batches of 50 images. One image, in the eleventh batch, was not normalized.
Source: torch/ao/quantization/observer.py.
"""

# %% load
import warnings

import torch
from torch.ao.quantization import HistogramObserver, MinMaxObserver, MovingAverageMinMaxObserver
from torch.fx.experimental.optimization import fuse

from handbook.data import MEAN, STD, fashion_mnist
from handbook.figure import figure, plt
from handbook.running_example import load_running_example, predict

warnings.filterwarnings("ignore", "torch.ao.quantization is deprecated")

# %% activations
model, seen = fuse(load_running_example()), []
layer = model.get_submodule("inverted.project.conv")  # no ReLU after it: both signs
layer.register_forward_hook(lambda layer, x, y: seen.append(y))
images = fashion_mnist("train")[0][:1000]
images[525] = images[525] * STD + MEAN  # 0 to 255
predict(model, images)
batches = torch.cat(seen).split(50)

# %% observe
observers = {
    "MinMaxObserver": MinMaxObserver(dtype=torch.quint8),
    "HistogramObserver": HistogramObserver(dtype=torch.quint8),
    "MovingAverageMinMaxObserver": MovingAverageMinMaxObserver(dtype=torch.quint8),
}
widths = {name: [] for name in observers}
for batch in batches:
    for name, observer in observers.items():
        observer(batch)
        scale, zero_point = observer.calculate_qparams()
        widths[name].append(255 * scale.item())

# %% draw
fig, ax = plt.subplots(figsize=(5.4, 3.6))
ends = [float(batch.max() - batch.min()) for batch in batches]
ax.semilogy(range(1, 21), ends, "o", color="gray", markersize=4, label="of this batch alone")
for (name, width), style in zip(widths.items(), ("-", "--", "-."), strict=True):
    ax.semilogy(range(1, 21), width, style, label=name)
ax.set(xlabel="batch", ylabel="width of the range", xticks=range(1, 21, 3))
fig.legend(loc="outside upper left", ncols=1, fontsize=10)
figure("ranges", fig)

# %% claims
from handbook.record import record

before, after = 9, 19
plain, histogram, average = (widths[name] for name in observers)
assert plain[after] == plain[10] > 10 * plain[before]  # for ever
assert histogram[after] > 10 * histogram[before]
assert average[10] > average[after] > average[before]  # forgets, slowly
record(jump=average[10] / average[before], tolerance=0.1, because="float32 sums of the kernels")
