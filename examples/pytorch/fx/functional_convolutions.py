"""Functional convolutions in FX graph mode: which arguments conversion wants.

torch.nn.functional.conv2d is traced and calibrated in every form; convert_fx takes some of them.
Source: run with torch.ao.quantization.quantize_fx of PyTorch 2.13; pytorch/pytorch#95492.
"""

# %% load
import warnings

import torch
from torch import nn
from torch.ao.quantization import get_default_qconfig_mapping
from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx
from torch.nn import functional as F

from handbook.data import fashion_mnist
from handbook.record import expected
from handbook.tracing import Around, check

warnings.simplefilter("ignore")  # the deprecation notices of FX mode
torch.set_num_threads(1)
torch.backends.quantized.engine = "x86"
images = torch.from_numpy(fashion_mnist("train")[0][:100])
mapping = get_default_qconfig_mapping("x86")


# %% functional
class Functional(Around):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.full((1, 1, 3, 3), 1 / 9))  # a blur
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return self.network(F.conv2d(x, self.weight, self.bias))


prepared = prepare_fx(Functional(), mapping, (images,))
prepared(images)
with expected(RuntimeError, "quantized::conv2d_prepack() is missing value for argument 'stride'"):
    convert_fx(prepared)


# %% numbers
class Numbers(Functional):
    def forward(self, x):
        return self.network(F.conv2d(x, self.weight, self.bias, 1, 0, 1, 1))


prepared = prepare_fx(Numbers(), mapping, (images,))
prepared(images)
with expected(RuntimeError, "Expected a value of type 'List[int]' for argument 'stride'"):
    convert_fx(prepared)


# %% cured
class AllArguments(Functional):
    def forward(self, x):
        x = F.conv2d(x, self.weight, self.bias, (1, 1), (0, 0), (1, 1), 1)
        return self.network(x)


quantized = check(Functional(), AllArguments())
assert quantized.graph.find_nodes(op="call_function", target=torch.ops.quantized.conv2d)


# %% keywords
class Keywords(Functional):
    def forward(self, x):
        options = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1}
        return self.network(F.conv2d(x, self.weight, self.bias, **options))


check(Functional(), Keywords())
