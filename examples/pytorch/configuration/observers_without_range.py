"""Observers that look for no range, and fake quantizers whose scale is given or learned.

They see the same clean activations as the other classes, in torch.ao.quantization and in torchao.
Source: torch/ao/quantization/observer.py and fake_quantize.py, and torchao's pt2e/observer.py.
"""

# %% load
import logging
import warnings

import torch
from torch.ao import quantization as torch_ao
from torch.ao.quantization._learnable_fake_quantize import _LearnableFakeQuantize
from torch.fx.experimental.optimization import fuse

from handbook.data import fashion_mnist
from handbook.record import expected
from handbook.running_example import load_running_example, predict

logging.disable(logging.WARNING)  # torchao mentions the GPU kernels that it does not find
from torchao.quantization import pt2e as torchao

warnings.filterwarnings("ignore", "torch.ao.quantization is deprecated")

# %% activations
model, seen = fuse(load_running_example()), []
layer = model.get_submodule("inverted.project.conv")
layer.register_forward_hook(lambda layer, x, y: seen.append(y))
predict(model, fashion_mnist("train")[0][:1000])
batches = torch.cat(seen).split(50)

# %% classes
affine = {"dtype": torch.uint8, "qscheme": torch.per_tensor_affine}
limits = {"quant_min": 0, "quant_max": 255}


def create(package):
    fixed = package.FixedQParamsObserver.with_args(scale=0.05, zero_point=128, **affine, **limits)
    learnable = getattr(package, "LearnableFakeQuantize", _LearnableFakeQuantize)
    of_range = package.MovingAverageMinMaxObserver
    return {
        "PlaceholderObserver": package.PlaceholderObserver(dtype=torch.float16),
        "NoopObserver": package.NoopObserver(dtype=torch.float16),
        "RecordingObserver": package.RecordingObserver(dtype=torch.quint8),
        "ReuseInputObserver": package.observer.ReuseInputObserver(),
        "FixedQParamsFakeQuantize": package.FixedQParamsFakeQuantize(observer=fixed),
        "LearnableFakeQuantize": learnable(of_range, **affine, **limits),
    }


# %% results
from handbook.measure import latency, speedup
from handbook.record import TIMING, table

timed = create(torch_ao) | {"MinMaxObserver": torch_ao.MinMaxObserver(**affine)}
times = latency({name: lambda o=o: o(batches[0]) for name, o in timed.items()}, rounds=20)


def parameters(name, package):
    observer = create(package)[name]
    for batch in batches:
        observer(batch)
    kept = [*observer.buffers(), *observer.parameters(), *getattr(observer, "tensor_val", [])]
    size = sum(tensor.nbytes for tensor in kept)
    try:
        scale, zero_point = observer.calculate_qparams()
    except Exception as error:
        assert "calculate_qparams should not be called" in str(error)
        return size, "none", "none"
    return size, f"{scale.item():.4f}", str(zero_point.item())


rows = []
for name in create(torch_ao):
    size, scale, zero_point = parameters(name, torch_ao)
    assert (scale, zero_point) == parameters(name, torchao)[1:]
    row = {"class": name, "bytes": size}
    row["relative time"] = speedup(times[name], times["MinMaxObserver"])
    rows.append(row | {"scale": scale, "zero point": zero_point})
tolerance = {"relative time": TIMING, "scale": 0.01, "zero point": 2}
table("results", rows, tolerance=tolerance, because="another CPU's float32 kernels sum otherwise")
assert rows[2]["bytes"] == sum(batch.nbytes for batch in batches)  # everything it saw

# %% no_parameters
with expected(Exception, "calculate_qparams should not be called for PlaceholderObserver"):
    create(torch_ao)["PlaceholderObserver"].calculate_qparams()
