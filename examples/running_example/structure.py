"""The running example: its data and its layers.

Ten images of Fashion-MNIST, and what each convolution of the network takes and gives.
Source: Fashion-MNIST (Xiao et al. 2017, arXiv:1708.07747); the network is this handbook's own.
"""

# %% images
from handbook.data import fashion_mnist
from handbook.figure import figure, plt

images, labels = fashion_mnist("test", raw=True)
fig, axes = plt.subplots(2, 5, figsize=(5.4, 2.3))
for label, ax in enumerate(axes.flat):
    ax.imshow(images[labels == label][0], cmap="gray_r")
    ax.axis("off")
figure("images", fig)
assert images.shape == (10_000, 28, 28) and images.dtype == "uint8"

# %% layers
import torch

from handbook.record import record, table
from handbook.running_example import load_running_example

model = load_running_example()
rows = []


def add_row(layer, inputs, output):
    kind = "linear" if isinstance(layer, torch.nn.Linear) else "convolution"
    if getattr(layer, "groups", 1) > 1:
        kind = "depthwise convolution"
    name = next(name for name, module in model.named_modules() if module is layer)
    shape = "x".join(str(size) for size in output.shape[1:])
    rows.append({"layer": name, "kind": kind, "output": shape, "weights": layer.weight.numel()})


for module in model.modules():
    if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
        module.register_forward_hook(add_row)
model(torch.zeros(1, 1, 28, 28))
table("layers", rows)
record(weights=sum(row["weights"] for row in rows))
assert len(rows) == 11
