"""The running example: a small network with every structure that makes quantization hard."""

from collections import OrderedDict

import numpy as np
import torch
from torch import nn

from handbook.data import data_file


def conv_bn(
    in_channels: int,
    out_channels: int,
    kernel_size: int = 1,
    *,
    stride: int = 1,
    groups: int = 1,
    relu: bool = True,
) -> nn.Sequential:
    """Return a convolution, its batch normalization and, by default, a ReLU."""
    layers = OrderedDict(
        conv=nn.Conv2d(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding=kernel_size // 2,
            groups=groups,
            bias=False,
        ),
        bn=nn.BatchNorm2d(out_channels),
    )
    if relu:
        layers["relu"] = nn.ReLU()
    return nn.Sequential(layers)


def separable(in_channels: int, out_channels: int, *, stride: int = 1) -> nn.Sequential:
    """Return a depthwise-separable convolution (Howard et al., arXiv:1704.04861)."""
    return nn.Sequential(
        OrderedDict(
            depthwise=conv_bn(in_channels, in_channels, 3, stride=stride, groups=in_channels),
            pointwise=conv_bn(in_channels, out_channels),
        )
    )


def inverted_residual(channels: int, hidden: int) -> nn.Sequential:
    """Return the branch of an inverted residual (Sandler et al., arXiv:1801.04381)."""
    return nn.Sequential(
        OrderedDict(
            expand=conv_bn(channels, hidden),
            depthwise=conv_bn(hidden, hidden, 3, groups=hidden),
            project=conv_bn(hidden, channels, relu=False),
        )
    )


class RunningExample(nn.Module):
    """Classify (N, 1, 28, 28) normalized float32 images: (N, 10) logits, 54 thousand parameters."""

    def __init__(self):
        super().__init__()
        self.stem = conv_bn(1, 16, 3, stride=2)  # 14 x 14
        self.separable1 = separable(16, 32)
        self.separable2 = separable(32, 64, stride=2)  # 7 x 7
        self.inverted = inverted_residual(64, 128)
        self.branch1x1 = conv_bn(64, 48)
        self.branch3x3 = conv_bn(64, 48, 3)
        self.classifier = nn.Linear(96, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.separable2(self.separable1(self.stem(x)))
        x = x + self.inverted(x)
        x = torch.cat([self.branch1x1(x), self.branch3x3(x)], dim=1)
        return self.classifier(x.mean((2, 3)))


def load_running_example() -> RunningExample:
    """Return the trained network in eval mode, with the float weights of running_example/train.py."""
    model = RunningExample()
    with np.load(data_file("running_example/weights.npz")) as weights:
        model.load_state_dict({name: torch.from_numpy(weights[name]) for name in weights})
    return model.eval()


def predict(model: nn.Module, images: np.ndarray) -> np.ndarray:
    """Return the logits of `model`, float32 (N, 10), for float32 images (N, 1, 28, 28).

    Runs without gradients, 500 images at a time: a batch of 10 000 takes four times as long.
    """
    with torch.inference_mode():
        batches = torch.from_numpy(images).split(500)
        return np.concatenate([model(batch).numpy() for batch in batches])
