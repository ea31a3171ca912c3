"""Models of one PyTorch layer each, for the table of what a framework quantizes."""

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

CHANNELS = 128  # as in one_keras_layer: of tiny weights, some tools quantize none


class Function(nn.Module):
    """A function of a tensor as a layer, which FX traces and torch.export exports."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


class Pair(Function):
    """A function of two tensors."""

    def forward(self, a, b):
        return self.function(a, b)


class First(nn.Module):
    """A layer that returns a tuple, of which this returns the first tensor."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x)[0]


class SelfAttention(First):
    """Attention of a sequence (1, 3, CHANNELS) to itself."""

    def forward(self, x):
        return self.layer(x, x, x)[0]


def torch_layers() -> dict[str, tuple[nn.Module, tuple[torch.Tensor, ...]]]:
    """Map the name of a layer to a model of it alone, in eval mode, and its inputs.

    Weights and inputs are random, and always the same: float32 of batch size 1; for Embedding and
    EmbeddingBag, int64 indices (1, 5). Each layer is inside a module, so that FX does not trace it.
    """
    torch.manual_seed(0)
    n = CHANNELS
    vector, sequence, image = torch.randn(1, n), torch.randn(1, 3, n), torch.randn(1, n, 4, 4)
    indices = torch.randint(32, (1, 5))
    pair = torch.randn(1, n, 4, 4), torch.randn(1, n, 4, 4)
    attention = nn.MultiheadAttention(n, 2, batch_first=True)
    layers = {
        "Linear": (nn.Linear(n, n), vector),
        "Conv1d": (nn.Conv1d(n, n, 3), torch.randn(1, n, 3)),
        "Conv2d": (nn.Conv2d(n, n, 3), image),
        "Conv3d": (nn.Conv3d(n, n, 3), torch.randn(1, n, 4, 4, 4)),
        "Conv2d, depthwise": (nn.Conv2d(n, n, 3, groups=n), image),
        "ConvTranspose2d": (nn.ConvTranspose2d(n, n, 2, 2), image),
        "LSTM": (First(nn.LSTM(n, n, batch_first=True)), sequence),
        "GRU": (First(nn.GRU(n, n, batch_first=True)), sequence),
        "RNN": (First(nn.RNN(n, n, batch_first=True)), sequence),
        "LSTMCell": (First(nn.LSTMCell(n, n)), vector),
        "GRUCell": (nn.GRUCell(n, n), vector),
        "RNNCell": (nn.RNNCell(n, n), vector),
        "Embedding": (nn.Embedding(32, n), indices),
        "EmbeddingBag": (nn.EmbeddingBag(32, n, mode="sum"), indices),
        "MultiheadAttention": (SelfAttention(attention), sequence),
        "BatchNorm2d": (nn.BatchNorm2d(n), image),
        "LayerNorm": (nn.LayerNorm(n), sequence),
        "GroupNorm": (nn.GroupNorm(2, n), image),
        "InstanceNorm2d": (nn.InstanceNorm2d(n), image),
        "RMSNorm": (nn.RMSNorm(n), sequence),
        "ReLU": (nn.ReLU(), image),
        "ReLU6": (nn.ReLU6(), image),
        "LeakyReLU": (nn.LeakyReLU(), image),
        "PReLU": (nn.PReLU(n), image),
        "ELU": (nn.ELU(), image),
        "GELU": (nn.GELU(), image),
        "SiLU": (nn.SiLU(), image),
        "Hardswish": (nn.Hardswish(), image),
        "Hardsigmoid": (nn.Hardsigmoid(), image),
        "Sigmoid": (nn.Sigmoid(), image),
        "Tanh": (nn.Tanh(), image),
        "Softmax": (nn.Softmax(-1), sequence),
        "Add": (Pair(lambda a, b: a + b), *pair),
        "Mul": (Pair(lambda a, b: a * b), *pair),
        "Div": (Pair(lambda a, b: a / b), *pair),
        "MatMul": (Pair(lambda a, b: torch.matmul(a, b)), *pair),
        "Cat": (Pair(lambda a, b: torch.cat([a, b], 1)), *pair),
        "Mean": (Function(lambda x: x.mean((2, 3))), image),
        "AvgPool2d": (nn.AvgPool2d(2), image),
        "MaxPool2d": (nn.MaxPool2d(2), image),
        "AdaptiveAvgPool2d": (nn.AdaptiveAvgPool2d(1), image),
        "Upsample, nearest": (nn.Upsample(scale_factor=2), image),
        "Upsample, bilinear": (nn.Upsample(scale_factor=2, mode="bilinear"), image),
        "PixelShuffle": (nn.PixelShuffle(2), image),
        "Flatten": (nn.Flatten(), image),
        "Pad": (Function(lambda x: F.pad(x, (1, 1))), image),
    }
    models = {
        name: layer if isinstance(layer, Pair) else nn.Sequential(layer)
        for name, (layer, *_) in layers.items()
    }
    return {name: (models[name].eval(), tuple(inputs)) for name, (_, *inputs) in layers.items()}


class Between(nn.Module):
    """A layer of images behind a convolution, and before a layer that every tool quantizes."""

    def __init__(self, heads, layer, tail):
        super().__init__()
        self.heads, self.layer, self.tail = nn.ModuleList(heads), layer, tail

    def forward(self, x):
        return self.tail(self.layer(self.heads[0](x)))


class BetweenPair(Between):
    """The same for a function of two images."""

    def forward(self, a, b):
        return self.tail(self.layer(self.heads[0](a), self.heads[1](b)))


def between(layer: nn.Module, inputs: tuple) -> nn.Module | None:
    """Return the layer behind a convolution, before another or a Linear; None if not of images."""
    if any(x.dim() != 4 for x in inputs):
        return None
    torch.manual_seed(0)
    heads = [nn.Conv2d(x.shape[1], x.shape[1], 1) for x in inputs]
    width = layer(*inputs).shape[1]
    images = layer(*inputs).dim() == 4
    tail = nn.Conv2d(width, CHANNELS, 1) if images else nn.Linear(width, CHANNELS)
    model = Between if len(inputs) == 1 else BetweenPair
    return model(heads, layer, tail).eval()


def kinds_run(model: nn.Module, inputs: tuple, dynamic=False) -> list[str]:
    """Run the model, and return the kind of each operator that ran: "int8", "float", "weights".

    An operator is int8 if its name says "quantized" or it returns a quantized tensor, and
    "weights" if it looks rows of quantized weights up. Quantize and dequantize do not count, nor
    does what makes the first state of a recurrent layer. In a
    `dynamic` model, in which float surrounds each product, nothing but products counts.
    """
    with torch.no_grad(), _Operators(dynamic) as operators:
        model(*inputs)
    return operators.kinds


class _Operators(TorchDispatchMode):
    ASIDE = ("quantize_per", "dequantize", "_local_scalar", "zeros", "empty", "squeeze_")
    PRODUCTS = ("mm", "convolution", "embedding", "mkldnn_rnn", "attention")

    def __init__(self, dynamic):
        super().__init__()
        self.dynamic, self.kinds = dynamic, []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        name, tensor = str(function), out if isinstance(out, torch.Tensor) else None
        if tensor is None and isinstance(out, tuple | list) and out:
            tensor = out[0]
        if any(part in name for part in self.ASIDE):
            return out
        counts = not self.dynamic or any(part in name for part in self.PRODUCTS)
        if "quantized" in name or getattr(tensor, "is_quantized", False):
            self.kinds.append("weights" if "embedding" in name else "int8")
        elif isinstance(tensor, torch.Tensor) and tensor.is_floating_point() and counts:
            self.kinds.append("float")
        return out
