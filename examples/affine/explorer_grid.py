"""The grid of a scale and a zero point: which real values 4 bits keep, and the error of the others.

Ranges of tensors of the running example, and the grid that one of them gets.
Source: Jacob et al. 2018, section 2.1 (arXiv:1712.05877).
"""

# %% ranges
import torch

from handbook.data import fashion_mnist
from handbook.record import table
from handbook.running_example import load_running_example

model = load_running_example()
images = torch.from_numpy(fashion_mnist("train")[0][:1000])
observed = {"images": images}
for name, layer in {"outputs of a ReLU": model.stem.relu, "logits": model.classifier}.items():
    layer.register_forward_hook(lambda layer, x, y, name=name: observed.update({name: y}))
with torch.inference_mode():
    model(images)
observed["weights"] = model.classifier.weight.detach()
order = ["logits", "outputs of a ReLU", "images", "weights"]
rows = [
    {
        "tensor": name,
        "low": round(observed[name].min().item(), 3),
        "high": round(observed[name].max().item(), 3),
    }
    for name in order
]
last_digits = {"low": 2e-3, "high": 2e-3}
table("ranges", rows, tolerance=last_digits, because="another CPU sums in another order")

# %% grid
import numpy as np

low, high = rows[0]["low"], rows[0]["high"]
quant_min, quant_max = 0, 15  # 4 bits
scale = (high - low) / (quant_max - quant_min)
zero_point = round(quant_min - low / scale)


def keep(x):
    """Quantize and dequantize."""
    q = np.clip(np.round(x / scale) + zero_point, quant_min, quant_max)
    return (q - zero_point) * scale


x = np.linspace(low - 0.1 * (high - low), high + 0.1 * (high - low), 2000)
inside = (x >= low) & (x <= high)
# The zero point is rounded: at one end the grid may stop half a step short of the range.
assert np.abs(keep(x) - x)[inside].max() <= scale * (1 / 2 + 1e-6)
assert keep(0.0) == 0

# %% figure
from handbook.figure import figure, plt

integers = np.arange(quant_min, quant_max + 1)
fig, (line, error) = plt.subplots(2, sharex=True, height_ratios=(1, 4))
line.plot((integers - zero_point) * scale, 0 * integers, "|", markersize=14)
for q in (quant_min, zero_point, quant_max):
    line.annotate(
        str(q), ((q - zero_point) * scale, 0), (0, 9), textcoords="offset points", ha="center"
    )
line.set(ylim=(-1, 2.5))
line.axis("off")
error.axvspan(low, high, alpha=0.1)
error.plot(x, (keep(x) - x) / scale)
error.set(xlabel="real value", ylabel="error, in steps", ylim=(-1.2, 1.2))
figure("grid", fig)
