"""Untraceable Python: len, int, float, max, NumPy, f-strings and isinstance want a value.

Each cell has a forward that cannot be traced and its error, then one that can. Both compute the
same; the second is traced, calibrated and converted to int8.
Source: run with torch.fx and torch.ao.quantization of PyTorch 2.13.
"""

# %% load
import warnings

import torch
from torch import nn
from torch.fx import symbolic_trace
from torch.fx.proxy import TraceError

from handbook.record import expected
from handbook.tracing import Around, check

warnings.simplefilter("ignore")  # the deprecation notices of FX mode
torch.set_num_threads(1)
torch.backends.quantized.engine = "x86"


# %% length
class Len(Around):
    def forward(self, x):
        return self.network(x.reshape(len(x), 1, 28, 28))


with expected(RuntimeError, "'len' is not supported in symbolic tracing by default"):
    symbolic_trace(Len())


# %% length_cured
class Shape(Around):
    def forward(self, x):
        return self.network(x.reshape(x.shape[0], 1, 28, 28))


check(Len(), Shape())


# %% number
class Float(Around):
    def forward(self, x):
        return self.network(x / max(float(x.max()), 1.0))


with expected(TypeError, "float() argument must be a string or a real number, not 'Proxy'"):
    symbolic_trace(Float())


# %% builtin_max
class Max(Around):
    def forward(self, x):
        return self.network(x / max(x.max(), 1.0))


with expected(TraceError, "cannot be used as inputs to control flow"):
    symbolic_trace(Max())


# %% number_cured
class Clamp(Around):
    def forward(self, x):
        return self.network(x / x.max().clamp(min=1.0))


check(Float(), Clamp())
bright = 9 * torch.rand(4, 1, 28, 28)
assert torch.allclose(symbolic_trace(Clamp())(bright), Float()(bright))


# %% format
class Format(Around):
    def __init__(self):
        super().__init__()
        self.inputs = nn.ModuleDict({"1": nn.Identity(), "3": nn.Conv2d(3, 1, 1)})

    def forward(self, x):
        return self.network(self.inputs[f"{x.shape[1]}"](x))


with expected(KeyError, "Proxy(getitem)"):
    symbolic_trace(Format())


# %% format_cured
class Configured(Format):
    channels = 1  # known when the model is built

    def forward(self, x):
        return self.network(self.inputs[f"{self.channels}"](x))


check(Format(), Configured())
