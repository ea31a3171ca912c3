"""Quantization aware training of the running example: two fake quantizers, and the training."""

import torch
from torch import nn
from torch.func import functional_call
from torch.fx.experimental.optimization import fuse
from torch.nn import functional as F

from handbook.data import fashion_mnist
from handbook.running_example import load_running_example


class MinMax(nn.Module):
    """Fake quantization with the range of the values, for a weight or for an input of a layer."""

    def __init__(self, x, quant_min, quant_max, per_channel):
        super().__init__()
        self.limits, self.per_channel = (quant_min, quant_max), per_channel
        self.range = torch.stack([x.min().clamp(max=0), x.max()])

    def forward(self, x):
        quant_min, quant_max = self.limits
        if self.per_channel:  # weights: the largest of each channel
            scale = x.detach().flatten(1).abs().amax(1) / quant_max
            zeros = torch.zeros(len(scale), dtype=torch.int32)
            return torch.fake_quantize_per_channel_affine(x, scale, zeros, 0, *self.limits)
        if self.training:  # inputs: a moving average; in eval mode it stays as it is
            self.range.lerp_(torch.stack([x.min().clamp(max=0), x.max()]).detach(), 0.01)
        scale = (self.range[1] - self.range[0]) / (quant_max - quant_min)
        zero_point = (quant_min - self.range[0] / scale).round().int()
        return torch.fake_quantize_per_tensor_affine(x, scale, zero_point, *self.limits)


class Learned(nn.Module):
    """Fake quantization with a learned scale: LSQ (Esser et al., arXiv:1902.08153)."""

    def __init__(self, x, quant_min, quant_max, per_channel):
        super().__init__()
        if not per_channel and x.min() < 0:  # inputs with a sign: LSQ has no zero point
            quant_min, quant_max = -(quant_max + 1) // 2, quant_max // 2
        mean = x.abs().flatten(1).mean(1) if per_channel else x.abs().mean()
        self.step = nn.Parameter(2 * mean / quant_max**0.5)
        self.shape = (-1,) + (1,) * (x.ndim - 1) if per_channel else ()
        self.limits, self.gradient_scale = (
            (quant_min, quant_max),
            (x[0].numel() * quant_max) ** -0.5,
        )

    def forward(self, x):
        slow = self.step * self.gradient_scale
        step = (slow + (self.step - slow).detach()).clamp(min=1e-6).reshape(self.shape)
        q = (x / step).clamp(*self.limits)
        return (q + (q.round() - q).detach()) * step


class QuantizedLayer(nn.Module):
    """A convolution or a linear layer that fake-quantizes its weight and its input."""

    def __init__(self, layer, x, quantizer, bits):
        super().__init__()
        half, self.layer = 2 ** (bits - 1), layer
        self.of_weight = quantizer(layer.weight.detach(), -half, half - 1, per_channel=True)
        self.of_input = quantizer(x, 0, 2 * half - 1, per_channel=False)

    def forward(self, x):
        weight = self.of_weight(self.layer.weight)
        return functional_call(self.layer, {"weight": weight}, self.of_input(x))


def prepare(quantizer, bits) -> nn.Module:
    """Return the running example, batch normalization folded, with every layer wrapped.

    `quantizer` is MinMax or Learned, or None for the float network. Ranges and first steps are
    those of 1000 training images. The first and the last layer have 8 bits whatever `bits` is.
    """
    model, inputs = fuse(load_running_example()), {}
    layers = {n: m for n, m in model.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)}
    hooks = [
        layer.register_forward_pre_hook(lambda layer, x: inputs.update({layer: x[0]}))
        for layer in layers.values()
    ]
    with torch.no_grad():
        model(torch.from_numpy(fashion_mnist("train")[0][:1000]))  # calibration
    for hook in hooks:
        hook.remove()
    for name, layer in layers.items() if quantizer else ():
        layer_bits = 8 if name in ("stem.conv", "classifier") else bits  # the first and the last
        wrapped = QuantizedLayer(layer, inputs[layer], quantizer, layer_bits)
        model.set_submodule(name, wrapped)
    return model


def train(model, seed, rate, count=7680):
    """Train on `count` random training images, half of them flipped; return the model."""
    torch.manual_seed(seed)
    train_images, train_labels = map(torch.from_numpy, fashion_mnist("train"))
    batches = torch.randperm(len(train_images))[:count].split(128)
    optimizer = torch.optim.SGD(model.parameters(), rate, momentum=0.9, nesterov=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, rate, len(batches), pct_start=0.1, cycle_momentum=False
    )
    model.train()
    for batch in batches:
        images = train_images[batch]
        images = torch.where(torch.rand(len(batch), 1, 1, 1) < 0.5, images.flip(3), images)
        loss = F.cross_entropy(model(images), train_labels[batch], label_smoothing=0.1)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5)  # one steep batch must not end the run
        optimizer.step()
        schedule.step()
    return model.eval()
