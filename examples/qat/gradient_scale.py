"""The gradient scale of LSQ: how fast a step learns beside the weights that it quantizes.

For each layer, the relative size of the step's gradient over that of the weights. At about 1 both
learn at the same pace with one learning rate.
Source: Esser et al. 2020, section 2.2 (arXiv:1902.08153).
"""

# %% ratio
import numpy as np
import torch
from torch.nn import functional as F

from handbook.data import fashion_mnist
from handbook.qat import Learned, QuantizedLayer, prepare
from handbook.record import table

images, labels = (torch.from_numpy(array[:1000]) for array in fashion_mnist("train"))
rows = []
for bits in (8, 3):
    model = prepare(Learned, bits)
    F.cross_entropy(model(images), labels).backward()
    with_scale, without = [], []
    for layer in (m for m in model.modules() if isinstance(m, QuantizedLayer)):
        step, weight = layer.of_weight.step, layer.layer.weight.flatten(1)
        gradient = layer.layer.weight.grad.flatten(1)
        relative = (step.grad.abs() / step) / (gradient.norm(dim=1) / weight.norm(dim=1))
        relative = relative[gradient.norm(dim=1) > 0]  # dead channels learn nothing
        with_scale += relative.tolist()
        without += (relative / layer.of_weight.gradient_scale).tolist()
    row = {"bits": bits, "without gradient scale": round(float(np.median(without)), 2)}
    rows.append(row | {"with gradient scale": round(float(np.median(with_scale)), 2)})
tolerance = {"without gradient scale": 1, "with gradient scale": 0.1}
table("ratio", rows, tolerance=tolerance, because="gradients differ a little on another CPU")
eight, three = rows
assert eight["without gradient scale"] > 3 * three["without gradient scale"]
assert 0.5 < eight["with gradient scale"] / three["with gradient scale"] < 2
