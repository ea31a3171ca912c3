"""An optional tensor, None by default: traced as if it were always there.

What the traced model says without it, the cure, and why not to use concrete_args for None.
Source: run with torch.fx and torch.ao.quantization of PyTorch 2.13; pytorch/pytorch#50178.
"""

# %% load
import contextlib
import io
import warnings

import torch
from torch import nn
from torch.ao.quantization import get_default_qconfig_mapping
from torch.ao.quantization.quantize_fx import prepare_fx
from torch.fx import symbolic_trace

from handbook.data import fashion_mnist
from handbook.record import expected
from handbook.tracing import Around, check

warnings.simplefilter("ignore")  # the deprecation notices of FX mode
torch.set_num_threads(1)
torch.backends.quantized.engine = "x86"
images = torch.from_numpy(fashion_mnist("test")[0][:500])
silence = contextlib.redirect_stderr(io.StringIO())  # FX prints the code that it traced


# %% optional
class Masked(Around):
    def forward(self, x, mask=None):
        if mask is not None:
            x = x * mask
        return self.network(x)


traced = symbolic_trace(Masked())  # no error: a Proxy is not None
with expected(TypeError, "unsupported operand type(s) for *: 'Tensor' and 'NoneType'"), silence:
    traced(images)


# %% optional_cured
class Unmasked(Masked):
    def forward(self, x):
        return super().forward(x, mask=None)


check(Masked(), Unmasked())

# %% none
traced = symbolic_trace(Masked(), concrete_args={"mask": None})
assert torch.equal(traced(images), Masked()(images))  # so far, so good
prepare_fx(traced, get_default_qconfig_mapping("x86"), (images[:1],))
with expected(KeyError, "torch.fx._symbolic_trace._assert_is_none"):
    symbolic_trace(nn.ReLU())  # any model, from now on, in this process
