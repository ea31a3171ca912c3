"""The running example, refactored for PyTorch's eager mode quantization."""

import numpy as np
import torch
from torch import nn
from torch.ao.nn.quantized import FloatFunctional
from torch.ao.quantization import DeQuantStub, QuantStub

from handbook.data import data_file
from handbook.running_example import conv_bn, depthwise, separable, sequential


class EagerExample(nn.Module):
    """RunningExample with stubs and FloatFunctional: same outputs, same keys in the state dict."""

    def __init__(self):
        super().__init__()
        self.quant = QuantStub()  # float32 to quint8, once converted
        self.stem = conv_bn(1, 16, 3, stride=2)  # 28x28 to 14x14
        self.separable1 = separable(16, 32)
        self.separable2 = separable(32, 64, stride=2)  # 14x14 to 7x7
        # An inverted residual (Sandler et al., arXiv:1801.04381): its input is added to its output.
        self.inverted = sequential(
            expand=conv_bn(64, 128), depthwise=depthwise(128), project=conv_bn(128, 64, relu=False)
        )
        self.add = FloatFunctional()
        self.branch1x1 = conv_bn(64, 48)
        self.branch3x3 = conv_bn(64, 48, 3)
        self.cat = FloatFunctional()
        self.classifier = nn.Linear(96, 10)
        self.dequant = DeQuantStub()

    def forward(self, x):
        x = self.quant(x)
        x = self.separable2(self.separable1(self.stem(x)))
        x = self.add.add(x, self.inverted(x))
        x = self.cat.cat([self.branch1x1(x), self.branch3x3(x)], dim=1)
        return self.dequant(self.classifier(x.mean((2, 3))))


def load_eager_example() -> EagerExample:
    """Return the network in eval mode, float32, with the weights of `load_running_example`."""
    model = EagerExample()
    with np.load(data_file("running_example/weights.npz")) as weights:
        model.load_state_dict({name: torch.from_numpy(weights[name]) for name in weights})
    return model.eval()


def modules_to_fuse(model: nn.Module) -> list[list[str]]:
    """Return the names that fuse_modules and fuse_modules_qat take: conv, bn and maybe relu.

    For a network of `conv_bn` blocks, such as EagerExample before it is fused.
    """
    blocks = {
        n: m for n, m in model.named_modules() if isinstance(getattr(m, "bn", None), nn.Module)
    }
    return [
        [f"{name}.{part}" for part, _ in block.named_children()] for name, block in blocks.items()
    ]
