"""Untraceable control flow: branches, loops and assertions on a tensor.

Each cell has a forward that cannot be traced, then one that can, and that quantizes.
Source: run with torch.fx and torch.ao.quantization of PyTorch 2.13.
"""

# %% load
import warnings

import torch
from torch.fx import symbolic_trace
from torch.fx.proxy import TraceError

from handbook.record import expected
from handbook.tracing import Around, check

warnings.simplefilter("ignore")  # the deprecation notices of FX mode
torch.set_num_threads(1)
torch.backends.quantized.engine = "x86"


# %% branch
class Branch(Around):
    def forward(self, x):
        if x.max() > 3:  # pixels of 0 to 255
            x = (x - 73) / 90
        return self.network(x)


with expected(TraceError, "cannot be used as inputs to control flow"):
    symbolic_trace(Branch())


# %% branch_cured
class Where(Around):
    def forward(self, x):
        return self.network(torch.where(x.max() > 3, (x - 73) / 90, x))


check(Branch(), Where())
pixels = 255 * torch.rand(8, 1, 28, 28)
assert torch.allclose(symbolic_trace(Where())(pixels), Branch()(pixels))  # the other branch


# %% any
class AnyNan(Around):
    def forward(self, x):
        missing = torch.isnan(x)
        if bool(missing.any()):
            x = x.masked_fill(missing, 0)
        return self.network(x)


with expected(TraceError, "cannot be used as inputs to control flow"):
    symbolic_trace(AnyNan())


# %% any_cured
class MaskedFill(Around):
    def forward(self, x):
        return self.network(x.masked_fill(torch.isnan(x), 0))  # without NaN, it changes nothing


check(AnyNan(), MaskedFill())


# %% loop
class LoopOverRows(Around):
    def forward(self, x):
        brightest = x[:, :, :1, :1]
        for row in range(x.shape[2]):
            brightest = torch.maximum(brightest, x[:, :, row : row + 1].amax(3, keepdim=True))
        return self.network(2 * x / brightest)


with expected(TypeError, "'Proxy' object cannot be interpreted as an integer"):
    symbolic_trace(LoopOverRows())


# %% loop_cured
class OneReduction(Around):
    def forward(self, x):
        return self.network(2 * x / x.amax((2, 3), keepdim=True))


check(LoopOverRows(), OneReduction())


# %% loop_fixed
class FixedLoop(Around):
    rows = 28

    def forward(self, x):
        brightest = x[:, :, :1, :1]
        for row in range(self.rows):
            brightest = torch.maximum(brightest, x[:, :, row : row + 1].amax(3, keepdim=True))
        return self.network(2 * x / brightest)


check(LoopOverRows(), FixedLoop())
