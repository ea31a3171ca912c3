"""Traced with other gradients: torch.no_grad and custom autograd functions.

Tracing sees operations, not the context that they run in. The outputs stay the same, so nothing
tells; quantization aware training of the traced model is another training.
Source: run with torch.fx of PyTorch 2.13; pytorch/pytorch#62043.
"""

# %% load
import torch
from torch import nn
from torch.fx import symbolic_trace

x = torch.linspace(-1, 1, 8)


def gradient(module):
    at = x.clone().requires_grad_()
    module(at).sum().backward()
    return at.grad


# %% no_grad
class Shift(nn.Module):
    def forward(self, x):
        with torch.no_grad():
            mean = x.mean()
        return x - mean


traced = symbolic_trace(Shift())
print("gradient:", gradient(Shift())[0].item(), "traced:", gradient(traced)[0].item())
assert torch.equal(traced(x), Shift()(x))
assert (gradient(Shift()) == 1).all() and (gradient(traced) == 0).all()


# %% no_grad_cured
class Detach(nn.Module):
    def forward(self, x):
        return x - x.mean().detach()  # an operation, so it is in the graph


assert (gradient(symbolic_trace(Detach())) == 1).all()


# %% autograd_function
class StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(context, x):
        return x.round()

    @staticmethod
    def backward(context, gradient):
        return gradient


class Round(nn.Module):
    def forward(self, x):
        return StraightThrough.apply(x)


traced = symbolic_trace(Round())
print(traced.code.strip())
print("gradient:", gradient(Round())[0].item(), "traced:", gradient(traced)[0].item())
assert torch.equal(traced(x), Round()(x))
assert (gradient(Round()) == 1).all() and (gradient(traced) == 0).all()


# %% autograd_function_cured
@torch.fx.wrap
def straight_through(x):
    return StraightThrough.apply(x)


class WrappedRound(nn.Module):
    def forward(self, x):
        return straight_through(x)


assert (gradient(symbolic_trace(WrappedRound())) == 1).all()
