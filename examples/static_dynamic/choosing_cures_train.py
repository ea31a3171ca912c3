"""Accuracy fell: the cure that takes the most effort is training.

One pass over the training images for the running example, its weights at 4 bits with one scale for
each channel (QAT); and the same pass in float, to compare with. choosing_cures.py measures both.
Source: Nagel et al. 2021 (arXiv:2106.08295), section 4; torch.nn.utils.parametrize.
"""

# %% load
import copy

import torch
from torch import nn
from torch.fx.experimental.optimization import fuse
from torch.nn.utils import parametrize

from handbook.data import fashion_mnist
from handbook.record import artifact
from handbook.running_example import load_running_example

torch.manual_seed(0)
torch.set_num_threads(1)  # two get in each other's way on a busy machine
images, classes = map(torch.from_numpy, fashion_mnist("train"))
float_model = fuse(load_running_example())  # folds batch normalization


# %% quantize
class Rounded(nn.Module):
    """Weights of 4 bits, quantized and dequantized; the gradient passes through the rounding."""

    def forward(self, weight):
        scale = (weight.detach().abs().flatten(1).amax(1) / 7).clamp(min=1e-9)
        zero_point = torch.zeros_like(scale, dtype=torch.int32)
        return torch.fake_quantize_per_channel_affine(weight, scale, zero_point, 0, -7, 7)


quantized_model = copy.deepcopy(float_model)
layers = [m for m in quantized_model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
for layer in layers:
    parametrize.register_parametrization(layer, "weight", Rounded())  # at each use


# %% train
def fine_tune(model):
    """One pass over the training images; returns the mean loss of its last tenth."""
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 200)
    losses = []
    for batch in torch.randperm(len(images)).split(100):
        optimizer.zero_grad()
        losses.append(nn.functional.cross_entropy(model(images[batch]), classes[batch]))
        losses[-1].backward()
        optimizer.step()
        schedule.step()
    return torch.stack(losses[-20:]).mean().item()


loss = {"float": fine_tune(float_model), "quantized": fine_tune(quantized_model)}
print(*(f"{name}: loss {value:.3f}" for name, value in loss.items()), sep="\n")
assert max(loss.values()) < 0.4

# %% save
for layer in layers:
    parametrize.remove_parametrizations(layer, "weight", leave_parametrized=False)
torch.save(float_model.state_dict(), artifact("static_dynamic/choosing_cures_train/float.pt"))
torch.save(quantized_model.state_dict(), artifact("static_dynamic/choosing_cures_train/qat.pt"))
