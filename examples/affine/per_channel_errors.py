"""Per-channel scales that go wrong.

A scale along the wrong axis, a channel of zeros, and a default that is per tensor.
Source: NumPy, and the observers of torch.ao.quantization.
"""

# %% load
import numpy as np
import torch
from torch.ao.quantization import PerChannelMinMaxObserver, default_qconfig
from torch.ao.quantization.qconfig import default_per_channel_qconfig

from handbook.record import expected
from handbook.running_example import load_running_example

weight = load_running_example().separable2.pointwise.conv.weight.detach().numpy()
print("(output channels, input channels, height, width):", weight.shape)

# %% axis
scale = np.abs(weight).max(axis=(0, 2, 3), keepdims=True) / 127  # of each input channel
print("scales:", scale.size, " output channels:", weight.shape[0])
with expected(ValueError, "could not be broadcast"):
    np.round(weight / scale.reshape(-1, 1, 1, 1))

# %% zeros
pruned = weight.copy()
pruned[0] = 0
with np.errstate(invalid="ignore"):
    scale = np.abs(pruned).max(axis=(1, 2, 3), keepdims=True) / 127
    q = np.round(pruned / scale)
print("NumPy:", scale[0].item(), q[0, 0].item())
assert np.isnan(q[0]).all() and not np.isnan(q[1:]).any()

observer = PerChannelMinMaxObserver(
    ch_axis=0, dtype=torch.qint8, qscheme=torch.per_channel_symmetric
)
observer(torch.from_numpy(pruned))
scales, _ = observer.calculate_qparams()
print("PyTorch:", scales[0].item())
assert scales[0] == torch.finfo(torch.float32).eps  # the observer's smallest scale

# %% default
for qconfig in (default_qconfig, default_per_channel_qconfig):
    observer = qconfig.weight()
    observer(torch.from_numpy(weight))
    print(observer.qscheme, "scales:", observer.calculate_qparams()[0].numel())
assert default_qconfig.weight().qscheme == torch.per_tensor_symmetric
