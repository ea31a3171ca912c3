"""Functions that FX shall call, not trace: torch.fx.wrap, for NumPy, assertions and prints.

A wrapped function is one node of the graph. It runs in float, with real tensors, and can do
anything.
Source: the docstring of torch.fx.wrap, PyTorch 2.13.
"""

# %% load
import warnings

import numpy as np
import torch
from torch.fx import symbolic_trace
from torch.fx.proxy import TraceError

from handbook.record import expected
from handbook.tracing import Around, check

warnings.simplefilter("ignore")  # the deprecation notices of FX mode
torch.set_num_threads(1)
torch.backends.quantized.engine = "x86"


# %% numpy
class Roll(Around):
    def forward(self, x):
        return self.network(torch.from_numpy(np.roll(x.numpy(), 1, axis=3)))


with expected(ValueError, "invalid __array_struct__"):
    symbolic_trace(Roll())


# %% numpy_cured
@torch.fx.wrap
def roll(x, pixels):
    return torch.from_numpy(np.roll(x.numpy(), pixels, axis=3))


class WrappedRoll(Around):
    def forward(self, x):
        return self.network(roll(x, 1))


quantized = check(Roll(), WrappedRoll())
for node in list(quantized.graph.nodes)[:5]:
    print(f"{node.op:14} {node.name}")


# %% assertion
class Assert(Around):
    def forward(self, x):
        assert x.shape[1] == 1, "one channel, please"
        return self.network(x)


with expected(TraceError, "cannot be used as inputs to control flow"):
    symbolic_trace(Assert())


# %% assertion_cured
@torch.fx.wrap
def with_one_channel(x):
    assert x.shape[1] == 1, "one channel, please"
    return x  # used below: a node whose result nobody uses may be removed


class WrappedAssert(Around):
    def forward(self, x):
        return self.network(with_one_channel(x))


quantized = check(Assert(), WrappedAssert())
with expected(AssertionError, "one channel, please"):
    quantized.forward(torch.rand(1, 3, 28, 28))

# %% imported
from math import isfinite, sqrt

torch.fx.wrap("isfinite")  # by the name that this file calls it
torch.fx.wrap("len")
print(symbolic_trace(lambda x: x / len(x) / sqrt(x.shape[1])).code)
assert symbolic_trace(lambda x: isfinite(x)).graph.find_nodes(op="call_function", target=isfinite)


# %% not_at_module_level
def load():
    torch.fx.wrap("roll")


with expected(NotImplementedError, "wrap must be called at the top level of a module"):
    load()
