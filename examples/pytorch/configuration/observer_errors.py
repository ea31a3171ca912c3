"""Observers and fake quantizers: the errors, and what goes wrong without one.

An observer that has seen nothing, an instance instead of a class, and ranges, types and schemes
that are refused, or that should be.
Source: run with torch.ao.quantization of PyTorch 2.13.
"""

# %% load
import warnings

import torch
from torch.ao.quantization import (
    FakeQuantize,
    FusedMovingAvgObsFakeQuantize,
    MinMaxObserver,
    PerChannelMinMaxObserver,
    PlaceholderObserver,
    QConfig,
)

from handbook.record import expected

warnings.simplefilter("ignore")  # the deprecation notices

# %% has_seen_nothing
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    print(*MinMaxObserver().calculate_qparams())
print(*{" ".join(str(warning.message).split()) for warning in caught})
assert MinMaxObserver().calculate_qparams()[0] == 1

# %% placeholder
with expected(Exception, "calculate_qparams should not be called for PlaceholderObserver"):
    PlaceholderObserver().calculate_qparams()

# %% with_args
factory = MinMaxObserver.with_args(dtype=torch.quint8, quant_max=127, quant_min=0)  # 7 bits
first, second = factory(), factory()  # each layer calls it for an observer of its own
first(torch.tensor([0.0, 1.0]))
second(torch.tensor([0.0, 2.0]))
print(first.calculate_qparams()[0], second.calculate_qparams()[0])
assert 2 * first.calculate_qparams()[0] == second.calculate_qparams()[0]
wider = factory.with_args(quant_max=255)  # a factory can be changed again
assert wider().quant_max == 255 and wider().dtype == torch.quint8

# %% instance
with expected(ValueError, "QConfig received observer instance, please pass observer class"):
    QConfig(activation=MinMaxObserver(), weight=PerChannelMinMaxObserver)

# %% quant_min
with expected(AssertionError, "Used-specified quantization range must include 0."):
    MinMaxObserver(quant_min=1, quant_max=255)
with expected(AssertionError, "quant_min out of bound"):
    FakeQuantize(MinMaxObserver, quant_min=-128, quant_max=127)  # of its default type, quint8

# %% signed_range
observer = MinMaxObserver(dtype=torch.qint8, quant_min=0, quant_max=255)  # no error
observer(torch.linspace(0, 1, 100))
print(*observer.calculate_qparams())
assert observer.calculate_qparams()[1] == 0  # as if it were unsigned

# %% dtype
with expected(AssertionError, "Default Observer only works for"):
    MinMaxObserver(dtype=torch.float16)

# %% qscheme
with expected(NotImplementedError, "MinMaxObserver's qscheme only support"):
    MinMaxObserver(qscheme=torch.per_channel_affine)
with expected(NotImplementedError, "PerChannelMinMaxObserver's qscheme only support"):
    PerChannelMinMaxObserver(qscheme=torch.per_tensor_affine)

# %% fused
with expected(AssertionError, "only works with MovingAverageMinMaxObserver"):
    FusedMovingAvgObsFakeQuantize(MinMaxObserver)
