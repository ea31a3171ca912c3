"""Traced without an error, and wrong: what symbolic tracing bakes in or drops.

Each cell runs a module and its traced copy on the same input, and asserts that they differ.
Source: run with torch.fx of PyTorch 2.13.
"""

# %% load
import torch
from torch import nn
from torch.fx import symbolic_trace
from torch.nn import functional as F

x = torch.linspace(-1, 1, 8).reshape(2, 4)


def body(traced):
    """Of the generated code, what `forward` does."""
    lines = traced.code.split("def forward")[1].splitlines()[1:]
    return "\n".join(line.split(";")[0] for line in lines if line.strip())


# %% isinstance
class Scale(nn.Module):
    def forward(self, x):
        if isinstance(x, torch.Tensor):
            return 2 * x
        return x


traced = symbolic_trace(Scale())
print(body(traced))
assert torch.equal(Scale()(x), 2 * x) and torch.equal(traced(x), x)
assert not symbolic_trace(lambda x: type(x) is torch.Tensor)(x)
assert not symbolic_trace(lambda x: x.dtype is torch.float32)(x)
assert symbolic_trace(lambda x: hasattr(x, "anything"))(x)


# %% training_mode
class Dropout(nn.Module):
    def forward(self, x):
        return F.dropout(x, 0.5, self.training)


traced = symbolic_trace(Dropout().train()).eval()
print(body(traced))
torch.manual_seed(0)
assert torch.equal(Dropout().eval()(x), x) and not torch.equal(traced(x), x)
assert torch.equal(symbolic_trace(nn.Sequential(nn.Dropout(0.5))).eval()(x), x)  # the cure


# %% random
class Noise(nn.Module):
    def forward(self, x):
        return x + torch.randn(4)


traced = symbolic_trace(Noise())
print(body(traced))
assert torch.equal(traced(x), traced(x)) and not torch.equal(Noise()(x), Noise()(x))


class NoiseLike(nn.Module):
    def forward(self, x):
        return x + torch.randn_like(x)  # the cure: it depends on x


traced = symbolic_trace(NoiseLike())
assert not torch.equal(traced(x), traced(x))


# %% state
class Counter(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        self.calls += 1
        return x / self.calls


traced = symbolic_trace(Counter())
print(body(traced), "\ncalls while tracing:", int(traced.calls))
counter = Counter()
assert torch.equal(counter(x), x) and torch.equal(counter(x), x / 2)
assert torch.equal(traced(x), x) and torch.equal(traced(x), x)


# %% autocast
class Autocast(nn.Module):
    def forward(self, x):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return x @ x.T


traced = symbolic_trace(Autocast())
print("original:", Autocast()(x).dtype, "traced:", traced(x).dtype)
assert Autocast()(x).dtype == torch.bfloat16 and traced(x).dtype == torch.float32
