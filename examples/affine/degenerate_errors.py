"""NaN and infinity in calibration data: who complains, and what follows if nobody does.

Source: torch.ao.quantization, and IEEE 754.
"""

# %% load
import warnings

import numpy as np
import torch
from torch.ao.quantization import HistogramObserver, MinMaxObserver

from handbook.record import expected
from handbook.reference import quantization_parameters

warnings.filterwarnings("ignore", "torch.ao.quantization is deprecated")
warnings.filterwarnings("ignore", "Please use quant_min and quant_max")

# %% histogram
with_nan = torch.tensor([-1, float("nan"), 3])
with expected(RuntimeError, "is not finite"):
    HistogramObserver()(with_nan)

# %% silent
observer = MinMaxObserver()
observer(with_nan)
scale, _ = observer.calculate_qparams()
x = torch.tensor([0.0, 1.0, 3.0])
print("scale:", scale.item(), " a later activation:", (torch.round(x / scale) * scale).tolist())
assert scale.isnan()

# %% infinite
observer = MinMaxObserver()
observer(torch.tensor([-3e38, 3e38]))  # finite, and wider than float32
scale, _ = observer.calculate_qparams()
print("scale:", scale.item(), " a later activation:", (torch.round(x / scale) * scale).tolist())
assert scale.isinf()

# %% refuse
with expected(ValueError, "must be finite"):
    quantization_parameters(np.nan, 3)
with expected(ValueError, "too wide"):
    quantization_parameters(-3e38, 3e38)

# %% check
with expected(AssertionError, "NaN or infinity"):
    assert with_nan.isfinite().all(), "NaN or infinity in the calibration data"
