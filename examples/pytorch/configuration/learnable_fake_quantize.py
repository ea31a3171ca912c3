"""A fake quantizer that learns its scale, in both packages.

Scale and zero point are parameters. They start at what an observer saw, and gradient descent moves
them: here to the 4-bit scale that rounds one weight of the running example with the least error.
Source: torch/ao/quantization/_learnable_fake_quantize.py; torchao/quantization/pt2e.
"""

# %% load
import logging
import warnings

import torch
from torch.ao.quantization import MinMaxObserver
from torch.ao.quantization._learnable_fake_quantize import _LearnableFakeQuantize

from handbook.record import expected, record
from handbook.running_example import load_running_example

logging.disable(logging.WARNING)  # torchao mentions the GPU kernels that it does not find
from torchao.quantization import pt2e

warnings.filterwarnings("ignore", "torch.ao.quantization is deprecated")
weight = load_running_example().branch3x3.conv.weight.detach()
options = {"quant_min": -8, "quant_max": 7, "dtype": torch.qint8}
options["qscheme"] = torch.per_tensor_symmetric


def learn(quantizer):
    errors = []
    optimizer = torch.optim.Adam(quantizer.parameters(), lr=1e-3)
    for _ in range(100):
        error = (quantizer(weight) - weight).square().mean()
        errors.append(error.item())
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
    return errors


# %% torch_ao
private = _LearnableFakeQuantize(MinMaxObserver, **options)
private.enable_static_estimate()  # the scale follows the observer
private(weight)
before = private.scale.item()
private.enable_param_learning()  # from now on the scale is a parameter like any other
errors = learn(private)
print(f"scale {before:.4f}, learned {private.scale.item():.4f}")
record(error_left=100 * errors[-1] / errors[0], tolerance=5, because="a trained scale")
assert private.scale.item() < before and errors[-1] < 0.7 * errors[0]

# %% torchao_too_early
public = pt2e.LearnableFakeQuantize(pt2e.MinMaxObserver, **options)
print("parameters before the first batch:", list(public.parameters()))
with expected(ValueError, "optimizer got an empty parameter list"):
    learn(public)

# %% torchao
public(weight)  # the observer's turn: now there is a scale
public.enable_range_learning()
errors_public = learn(public)
print(f"scale {before:.4f}, learned {public.scale.item():.4f}")
torch.testing.assert_close(public.scale, private.scale)
torch.testing.assert_close(torch.tensor(errors_public), torch.tensor(errors))
