"""Inputs that are not tensors: optional arguments, flags, dictionaries, *args.

Tracing takes every input for a tensor. `concrete_args` gives some of them a value beforehand;
what depends on it is decided at trace time.
Source: the docstring of torch.fx.symbolic_trace, PyTorch 2.13; pytorch/pytorch#87344.
"""

# %% load
import contextlib
import io
import warnings

import torch
from torch import fx
from torch.ao.quantization import get_default_qconfig_mapping
from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx
from torch.fx import symbolic_trace
from torch.fx.proxy import TraceError

from handbook.data import fashion_mnist
from handbook.measure import agreement
from handbook.record import expected
from handbook.tracing import Around, check

warnings.simplefilter("ignore")  # the deprecation notices of FX mode
torch.set_num_threads(1)
torch.backends.quantized.engine = "x86"
images = torch.from_numpy(fashion_mnist("test")[0][:500])
mapping = get_default_qconfig_mapping("x86")


# %% flag
class Flip(Around):
    def forward(self, x, average=False):
        if average:  # test-time augmentation
            return (self.network(x) + self.network(x.flip(3))) / 2
        return self.network(x)


with expected(TraceError, "cannot be used as inputs to control flow"):
    prepare_fx(Flip(), mapping, (images,))


# %% bound
class Bound(Flip):
    def forward(self, x):
        return super().forward(x, average=True)


check(Bound(), Bound())

# %% concrete_args
traced = symbolic_trace(Flip(), concrete_args={"average": True})
prepared = prepare_fx(traced, mapping, (images[:1],))
prepared(images, True)
quantized = convert_fx(prepared)
float_logits = Flip()(images, average=True)
torch.testing.assert_close(traced(images, True), float_logits)
same = agreement(quantized(images, True), float_logits.detach())
print(f"same answer as float: {same:.1f} %")
assert same > 95

# %% specialized
print(traced.code.strip().splitlines()[0])
silence = contextlib.redirect_stderr(io.StringIO())  # FX prints the code that it traced
with expected(AssertionError, "average has been specialized to have value True"), silence:
    traced(images)


# %% dictionary
class Views(Around):
    def forward(self, views):
        return sum(self.network(view) for view in views.values())


with expected(TraceError, "Proxy object cannot be iterated"):
    symbolic_trace(Views())

# %% dictionary_cured
views = {"left": images, "right": images.flip(3)}
traced = symbolic_trace(Views(), concrete_args={"views": {"left": fx.PH, "right": fx.PH}})
torch.testing.assert_close(traced(views), Views()(views))


# %% by_key
class ByKey(Around):
    def forward(self, views, **options):
        return self.network(views["left"]) + self.network(views["right"]) * options["weight"]


traced = symbolic_trace(ByKey())
torch.testing.assert_close(traced(views, weight=0.5), ByKey()(views, weight=0.5))
