"""The running example: a small network with every structure that makes quantization hard."""

from collections import OrderedDict

import numpy as np
import torch
from torch import nn

from handbook.data import data_file


def sequential(**layers: nn.Module) -> nn.Sequential:
    """Return nn.Sequential with named layers."""
    return nn.Sequential(OrderedDict(layers))


def conv_bn(in_channels, out_channels, kernel_size=1, relu=True, **options) -> nn.Sequential:
    """Return a convolution, its batch normalization and, unless `relu` is false, a ReLU."""
    options |= {"padding": kernel_size // 2, "bias": False}
    layers = {"conv": nn.Conv2d(in_channels, out_channels, kernel_size, **options)}
    layers["bn"] = nn.BatchNorm2d(out_channels)
    if relu:
        layers["relu"] = nn.ReLU()
    return sequential(**layers)


def depthwise(channels, stride=1) -> nn.Sequential:
    """Return a 3x3 convolution of each channel by itself."""
    return conv_bn(channels, channels, 3, stride=stride, groups=channels)


def separable(in_channels, out_channels, stride=1) -> nn.Sequential:
    """Return a depthwise-separable convolution (Howard et al., arXiv:1704.04861)."""
    return sequential(
        depthwise=depthwise(in_channels, stride), pointwise=conv_bn(in_channels, out_channels)
    )


class RunningExample(nn.Module):
    """Classify float32 images (N, 1, 28, 28): logits (N, 10), from 53 514 parameters."""

    def __init__(self):
        super().__init__()
        self.stem = conv_bn(1, 16, 3, stride=2)  # 28x28 to 14x14
        self.separable1 = separable(16, 32)
        self.separable2 = separable(32, 64, stride=2)  # 14x14 to 7x7
        # An inverted residual (Sandler et al., arXiv:1801.04381): its input is added to its output.
        self.inverted = sequential(
            expand=conv_bn(64, 128), depthwise=depthwise(128), project=conv_bn(128, 64, relu=False)
        )
        self.branch1x1 = conv_bn(64, 48)
        self.branch3x3 = conv_bn(64, 48, 3)
        self.classifier = nn.Linear(96, 10)

    def forward(self, x):
        x = self.separable2(self.separable1(self.stem(x)))
        x = x + self.inverted(x)
        x = torch.cat([self.branch1x1(x), self.branch3x3(x)], dim=1)
        return self.classifier(x.mean((2, 3)))


def load_running_example() -> RunningExample:
    """Return the network in eval mode, with the weights that running_example/train.py made."""
    model = RunningExample()
    with np.load(data_file("running_example/weights.npz")) as weights:
        model.load_state_dict({name: torch.from_numpy(weights[name]) for name in weights})
    return model.eval()


def predict(model: nn.Module, images: np.ndarray) -> np.ndarray:
    """Return the logits of `model`, float32 (N, 10), for float32 images (N, 1, 28, 28).

    Runs without gradients, 500 images at a time: one batch of 10 000 takes four times as long.
    """
    with torch.inference_mode():
        batches = torch.from_numpy(images).split(500)
        return np.concatenate([model(batch).numpy() for batch in batches])
