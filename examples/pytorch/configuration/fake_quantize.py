"""Fake quantizers: what FakeQuantize and its fused and learnable kin compute, and their switches.

Values and gradients, what each switch stops, a fused per-channel scale that is not the one of its
observer, and a scale that is learned.
Source: torch/ao/quantization/fake_quantize.py and _learnable_fake_quantize.py, and torchao's.
"""

# %% load
import logging
import warnings

import torch
from torch.ao import quantization as torch_ao
from torch.ao.quantization import (
    FakeQuantize,
    FusedMovingAvgObsFakeQuantize,
    MovingAverageMinMaxObserver,
)

from handbook.running_example import load_running_example

logging.disable(logging.WARNING)  # torchao mentions the GPU kernels that it does not find
from torchao.quantization import pt2e as torchao

warnings.filterwarnings("ignore", "torch.ao.quantization is deprecated")
x = torch.randn(64, 256, generator=torch.Generator().manual_seed(0))
options = {"observer": MovingAverageMinMaxObserver, "quant_min": 0, "quant_max": 255}
options |= {"dtype": torch.quint8, "qscheme": torch.per_tensor_affine}

# %% values_and_gradients
outputs, gradients = [], []
for kind in (FakeQuantize, FusedMovingAvgObsFakeQuantize):
    quantizer = kind(**options)
    quantizer(x)  # observes, and sets the scale
    quantizer.disable_observer()
    wider = (2 * x).requires_grad_()  # so that some values are clipped
    output = quantizer(wider)
    output.sum().backward()
    outputs.append(output.detach())
    gradients.append(wider.grad)
torch.testing.assert_close(outputs[0], outputs[1], rtol=0, atol=1e-6)
assert torch.equal(gradients[0], gradients[1])

limits = torch.tensor([quantizer.quant_min - 0.5, quantizer.quant_max + 0.5])
low, high = (limits - quantizer.zero_point) * quantizer.scale
print("gradients:", gradients[0].unique().tolist(), f"inside {low:.2f} to {high:.2f}")
assert torch.equal(gradients[0] == 1, (wider > low) & (wider < high))

# %% switches
from handbook.record import table

rows = []
for kind in (FakeQuantize, FusedMovingAvgObsFakeQuantize):
    for observes, rounds in ((True, True), (False, True), (True, False), (False, False)):
        quantizer = kind(**options)
        quantizer(x)
        quantizer.enable_observer(observes)
        quantizer.enable_fake_quant(rounds)
        scale, largest = quantizer.scale.item(), quantizer.activation_post_process.max_val.item()
        output = quantizer(2 * x)
        row = {"class": kind.__name__, "observer": observes, "fake_quant": rounds}
        row["range moves"] = quantizer.activation_post_process.max_val.item() != largest
        row["scale moves"] = quantizer.scale.item() != scale
        row["output is rounded"] = not torch.equal(output, 2 * x)
        rows.append({key: {True: "yes", False: "no"}.get(v, v) for key, v in row.items()})
        assert row["range moves"] == observes and row["output is rounded"] == rounds
table("switches", rows)
assert rows[2]["scale moves"] == "yes" and rows[6]["scale moves"] == "no"  # fused: later

# %% packages
mine, theirs = FakeQuantize(**options), torchao.FakeQuantize()
torch_ao.disable_observer(theirs)
torchao.disable_observer(mine)
print("still observing:", bool(mine.observer_enabled), bool(theirs.observer_enabled))
assert mine.observer_enabled and theirs.observer_enabled  # neither was switched off

# %% per_channel
weight = load_running_example().branch3x3.conv.weight.detach()
symmetric = {"dtype": torch.qint8, "qscheme": torch.per_channel_symmetric, "ch_axis": 0}
for package in (torch_ao, torchao):
    fused = package.FusedMovingAvgObsFakeQuantize(
        package.MovingAveragePerChannelMinMaxObserver, -128, 127, **symmetric
    )
    fused(weight)
    ratio = fused.scale / fused.calculate_qparams()[0]
    negative = -weight.flatten(1).amin(1) > weight.flatten(1).amax(1)
    print(package.__name__, f"{ratio.min():.6f} to {ratio.max():.6f}")
    torch.testing.assert_close(ratio[negative], torch.tensor(127.5 / 128).expand(negative.sum()))
    torch.testing.assert_close(
        ratio[~negative], torch.tensor(127.5 / 127).expand((~negative).sum())
    )
