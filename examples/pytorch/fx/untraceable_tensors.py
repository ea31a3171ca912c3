"""Untraceable use of tensors: iteration, slice assignment, slices of tables, constructors.

Each cell has a forward that cannot be traced, then one that can, and that quantizes.
Source: run with torch.fx and torch.ao.quantization of PyTorch 2.13.
"""

# %% load
import warnings

import torch
from torch.fx import symbolic_trace

from handbook.record import expected
from handbook.tracing import Around, check

warnings.simplefilter("ignore")  # the deprecation notices of FX mode
torch.set_num_threads(1)
torch.backends.quantized.engine = "x86"


# %% iterate
class EachImage(Around):
    def forward(self, x):
        return self.network(torch.stack([2 * image / image.max() for image in x]))


with expected(torch.fx.proxy.TraceError, "Proxy object cannot be iterated"):
    symbolic_trace(EachImage())


# %% iterate_cured
class WholeBatch(Around):
    def forward(self, x):
        return self.network(2 * x / x.amax((1, 2, 3), keepdim=True))


check(EachImage(), WholeBatch())


# %% slice_assignment
class Border(Around):
    def forward(self, x):
        x[:, :, :2] = -0.8  # black
        return self.network(x)


with expected(TypeError, "'Proxy' object does not support item assignment"):
    symbolic_trace(Border())


# %% slice_assignment_cured
class BorderCat(Around):
    def forward(self, x):
        black = torch.full_like(x[:, :, :2], -0.8)
        return self.network(torch.cat([black, x[:, :, 2:]], 2))


check(Border(), BorderCat())


# %% table
class Table(Around):
    vignette = torch.linspace(1, 0.9, 64)

    def forward(self, x):
        return self.network(x * self.vignette[: x.shape[3]])


with expected(TypeError, "slice indices must be integers"):
    symbolic_trace(Table())


# %% table_cured
class Narrow(Table):
    def forward(self, x):
        return self.network(x * torch.narrow(self.vignette, 0, 0, x.shape[3]))


check(Table(), Narrow())


# %% constructor
class Zeros(Around):
    def forward(self, x):
        return self.network(x + torch.zeros(x.shape[0], 1, 1, 1))


with expected(TypeError, "zeros() takes 1 positional argument"):
    symbolic_trace(Zeros())


# %% constructor_cured
class NewZeros(Around):
    def forward(self, x):
        return self.network(x + x.new_zeros(x.shape[0], 1, 1, 1))  # its dtype and device too


quantized = check(Zeros(), NewZeros())
assert quantized.graph.find_nodes(op="call_method", target="new_zeros")
