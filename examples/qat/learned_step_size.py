"""Learned step size quantization (LSQ), from scratch.

The scale, here called step, is a parameter with a gradient of its own. It equals PyTorch's private
implementation, and the gradient of the network that LSQ pretends to train.
Source: Esser et al. 2020, sections 2.1 and 2.2 (arXiv:1902.08153).
"""

# %% lsq
import torch

from handbook.record import record


class LearnedStep(torch.autograd.Function):
    @staticmethod
    def forward(context, v, step, quant_min, quant_max):
        context.limits = quant_min, quant_max
        context.save_for_backward(v, step)
        return (v / step).clamp(quant_min, quant_max).round() * step

    @staticmethod
    def backward(context, gradient):
        v, step = context.saved_tensors
        quant_min, quant_max = context.limits
        ratio = v / step
        inside = (ratio > quant_min) & (ratio < quant_max)
        # How far the step moves a value: its rounding error inside, the whole limit outside.
        of_step = torch.where(inside, ratio.round() - ratio, ratio.clamp(quant_min, quant_max))
        gradient_scale = (v.numel() * quant_max) ** -0.5
        return gradient * inside, (gradient * of_step).sum() * gradient_scale, None, None


def first_step(v, quant_max):
    return 2 * v.abs().mean() / quant_max**0.5


# %% same_as_pytorch
torch.manual_seed(0)
v, upstream = torch.randn(4096), torch.randn(4096)
quant_min, quant_max = -4, 3
step = first_step(v, quant_max)


def gradients(function):
    value, s = v.clone().requires_grad_(), step.clone().requires_grad_()
    y = function(value, s)
    y.backward(upstream)
    return y.detach(), value.grad, s.grad


ours = gradients(lambda value, s: LearnedStep.apply(value, s, quant_min, quant_max))
gradient_scale = (v.numel() * quant_max) ** -0.5
theirs = gradients(
    lambda value, s: torch._fake_quantize_learnable_per_tensor_affine(
        value, s.reshape(1), torch.zeros(1), quant_min, quant_max, gradient_scale
    )
)
assert torch.equal(ours[0], theirs[0])
disagree = ours[1] != theirs[1]  # PyTorch rounds first, and then asks whether a value is outside
record(compared=len(v), disagree=int(disagree.sum()))
ratio = v / step
rounded = ratio.round()
inside = (rounded >= quant_min) & (rounded <= quant_max)
of_step = torch.where(inside, rounded - ratio, rounded.clamp(quant_min, quant_max))
assert torch.equal(theirs[1], upstream * inside)
assert torch.allclose(theirs[2], (upstream * of_step).sum() * gradient_scale, atol=1e-5)
print(f"gradient of the step: {ours[2]:.3f} here, {theirs[2].item():.3f} in PyTorch")

# %% autograd
from handbook.qat import Learned

quantizer = Learned(v.reshape(1, -1), quant_min, quant_max, per_channel=True)
value = v.clone().requires_grad_()
quantizer(value.reshape(1, -1)).backward(upstream.reshape(1, -1))
assert torch.allclose(value.grad, ours[1])
assert torch.allclose(quantizer.step.grad, ours[2], atol=1e-5)

# %% figure
from handbook.figure import figure, plt

x = torch.linspace(-6, 5, 2201)
lsq = torch.where((x > -4) & (x < 3), x.round() - x, x.clamp(-4, 3))
fig, ax = plt.subplots()
ax.plot(x, lsq)
ax.set(xlabel="value / step", ylabel="gradient of the step", yticks=range(-4, 4))
figure("step_gradient", fig)
