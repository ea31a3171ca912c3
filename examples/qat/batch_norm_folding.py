"""Batch normalization folding: what is rounded in training must be what is deployed.

The running example is trained with 8-bit weights. One run rounds the weights of the convolution,
the other the weights after folding; then batch normalization is folded and the weights rounded.
Source: Jacob et al. 2018, section 3.2 (arXiv:1712.05877), torch.ao.nn.intrinsic.qat.ConvBn2d.
"""

# %% load
import copy

import torch
from torch import nn
from torch.func import functional_call
from torch.fx.experimental.optimization import fuse
from torch.nn import functional as F

from handbook.data import fashion_mnist
from handbook.running_example import load_running_example, predict

torch.set_num_threads(1)
train_images, train_labels = map(torch.from_numpy, fashion_mnist("train"))
test_images, labels = fashion_mnist("test")


# %% weights
def fake_quantize(weight, per_channel, bits=8):
    quant_max = 2 ** (bits - 1) - 1
    ranges = weight.detach().flatten(1).abs().amax(1)
    scale = (ranges if per_channel else ranges.max().expand(len(ranges))) / quant_max
    zeros = torch.zeros(len(scale), dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(weight, scale, zeros, 0, -quant_max, quant_max)


# %% folded
class ConvBN(nn.Module):
    """A convolution and its batch normalization, training with the weights that fold or not."""

    def __init__(self, conv, bn, fold, per_channel):
        super().__init__()
        self.conv, self.bn, self.fold, self.per_channel = conv, bn, fold, per_channel

    def forward(self, x):
        factor = torch.ones(len(self.bn.weight), 1, 1)
        if self.fold:  # with the running statistics, which are those of inference
            factor = (self.bn.weight / (self.bn.running_var + self.bn.eps).sqrt()).view(-1, 1, 1)
        weight = fake_quantize(self.conv.weight * factor.unsqueeze(1), self.per_channel)
        # Batch normalization wants what the convolution gives without the factor.
        return self.bn(functional_call(self.conv, {"weight": weight}, x) / factor)


# %% train
def trained(fold, per_channel):
    torch.manual_seed(0)
    model = load_running_example().train()
    for block in [m for m in model.modules() if hasattr(m, "bn") and hasattr(m, "conv")]:
        block.conv, block.bn = ConvBN(block.conv, block.bn, fold, per_channel), nn.Identity()
    optimizer = torch.optim.SGD(model.parameters(), 0.002, momentum=0.9)
    for batch in torch.randperm(len(train_images))[:5120].split(128):
        loss = F.cross_entropy(model(train_images[batch]), train_labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


def deployed(model, per_channel):
    """Fold, then round: what every runtime does."""
    model = copy.deepcopy(model)
    for block in [m for m in model.modules() if isinstance(getattr(m, "conv", None), ConvBN)]:
        block.conv, block.bn = block.conv.conv, block.conv.bn
    model = fuse(model)
    with torch.no_grad():
        for layer in (m for m in model.modules() if isinstance(m, nn.Conv2d)):
            layer.weight.copy_(fake_quantize(layer.weight, per_channel))
    return model


# %% results
from handbook.measure import accuracy, agreement
from handbook.record import table

rows = []
for per_channel in (False, True):
    for fold in (False, True):
        model = trained(fold, per_channel)
        logits = predict(model, test_images)
        final = predict(deployed(model, per_channel), test_images)
        row = {"scales": "per channel" if per_channel else "per tensor"}
        row |= {"rounded in training": "folded weights" if fold else "weights"}
        row |= {"in training %": accuracy(logits, labels).percent}
        row |= {"folded and deployed %": accuracy(final, labels).percent}
        rows.append(row | {"same answer %": agreement(logits, final)})
wide = {"in training %": 8, "folded and deployed %": 30, "same answer %": 30}
table("results", rows, tolerance=wide, because="training on another CPU ends elsewhere")
per_tensor, folded, per_channel, both = (row["same answer %"] for row in rows)
assert per_tensor < 97 and min(folded, per_channel, both) > 99.9
