"""Fake quantization and the straight-through estimator, from scratch.

The forward pass rounds and clips; the backward pass lets the gradient through as if nothing had
been rounded, and stops it where a value was clipped. Both equal PyTorch's to the last bit.
Source: Bengio et al. 2013 (arXiv:1308.3432), Jacob et al. 2018 (arXiv:1712.05877).
"""

# %% fake_quantize
import torch


class FakeQuantize(torch.autograd.Function):
    @staticmethod
    def forward(context, x, scale, zero_point, quant_min, quant_max):
        q = torch.round(x * (1 / scale)) + zero_point  # PyTorch multiplies by the reciprocal
        context.save_for_backward((q >= quant_min) & (q <= quant_max))
        return (q.clamp(quant_min, quant_max) - zero_point) * scale

    @staticmethod
    def backward(context, gradient):
        (inside,) = context.saved_tensors
        return gradient * inside, None, None, None, None  # straight through, or nothing


# %% same_as_pytorch
from handbook.record import record

torch.manual_seed(0)
values, upstream = torch.randn(100_000), torch.randn(100_000)
scale, zero_point = torch.tensor(0.02), torch.tensor(100, dtype=torch.int32)


def forward_and_gradient(fake_quantize, x, upstream, *arguments):
    x = x.clone().requires_grad_()
    y = fake_quantize(x, *arguments)
    y.backward(upstream)
    return y.detach(), x.grad


arguments = (values, upstream, scale, zero_point, 0, 255)
ours = forward_and_gradient(FakeQuantize.apply, *arguments)
theirs = forward_and_gradient(torch.fake_quantize_per_tensor_affine, *arguments)
assert torch.equal(ours[0], theirs[0]) and torch.equal(ours[1], theirs[1])
blocked = 100 * (ours[1] == 0).float().mean().item()
record(compared=len(values), blocked=blocked, tolerance=1e-4, because="float32")

# %% per_channel
weight, weight_upstream = torch.randn(32, 16, 3, 3), torch.randn(32, 16, 3, 3)
scales, zeros = torch.rand(32) / 50 + 0.01, torch.zeros(32, dtype=torch.int32)
ours = forward_and_gradient(
    FakeQuantize.apply, weight, weight_upstream, scales.view(-1, 1, 1, 1), 0, -128, 127
)
theirs = forward_and_gradient(
    torch.fake_quantize_per_channel_affine, weight, weight_upstream, scales, zeros, 0, -128, 127
)
assert torch.equal(ours[0], theirs[0]) and torch.equal(ours[1], theirs[1])

# %% without
x = torch.tensor(0.3, requires_grad=True)
torch.round(x).backward()
print("the gradient of torch.round:", x.grad.item())
assert x.grad == 0

# %% figure
from handbook.figure import figure, plt

x = torch.linspace(-1.6, 1.6, 1601)
y, gradient = forward_and_gradient(FakeQuantize.apply, x, torch.ones(1601), 0.4, 0, -3, 3)
fig, ax = plt.subplots()
ax.plot(x, y, label="forward: a staircase")
ax.plot(x, x.clamp(-1.2, 1.2), "--", color="C0", alpha=0.6, label="what the gradient belongs to")
ax.plot(x, gradient, color="C1", label="gradient: 1 inside, 0 outside")
ax.set(xlabel="x", ylim=(-1.4, 2.9), yticks=[-1, 0, 1])
ax.legend(loc="upper left")
figure("staircase", fig)
assert set(gradient.tolist()) == {0, 1}
