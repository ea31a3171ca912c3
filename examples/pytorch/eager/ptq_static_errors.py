"""Eager mode: what people stumble over in static quantization.

The warnings, missing calibration, a missing qconfig, the wrong dtype, gradients.
Source: run with torch.ao.quantization of PyTorch 2.13.
"""

# %% load
import warnings

import torch
from torch.ao.quantization import convert, fuse_modules, get_default_qconfig, prepare

from handbook.data import fashion_mnist
from handbook.eager_example import load_eager_example, modules_to_fuse
from handbook.measure import accuracy
from handbook.record import expected, record
from handbook.running_example import predict

torch.backends.quantized.engine = "x86"
images, labels = fashion_mnist("test")


def fused():
    model = load_eager_example()
    return fuse_modules(model, modules_to_fuse(model))


# %% warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    model = fused()
    model.qconfig = get_default_qconfig("x86")
    prepared = prepare(model)
    predict(prepared, images[:100])
    convert(prepared)
texts = {f"{w.category.__name__}: {' '.join(str(w.message).split())}" for w in caught}
print(*sorted(texts), sep="\n")
assert any("torch.ao.quantization is deprecated" in text for text in texts)
warnings.simplefilter("ignore")

# %% not_calibrated
model = fused()
model.qconfig = get_default_qconfig("x86")
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    quantized = convert(prepare(model))
messages = {" ".join(str(warning.message).split()) for warning in caught}
print(*(message for message in messages if "must run observer" in message))
print("scale", quantized.stem.conv.scale, "zero point", quantized.stem.conv.zero_point)
correct = accuracy(predict(quantized, images), labels).percent
record(not_calibrated=correct, tolerance=5, because="what is left of the answers is noise")
assert quantized.stem.conv.scale == 1 and correct < 30

# %% no_qconfig
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    unchanged = convert(prepare(fused()))
messages = [" ".join(str(warning.message).split()) for warning in caught]
print(*(message for message in messages if "qconfig" in message))
print(type(unchanged.stem.conv).__name__, unchanged.stem.conv[0].weight.dtype)
assert unchanged.stem.conv[0].weight.dtype == torch.float32

# %% dtype
with expected(RuntimeError, "Quantize only works on Float Tensor, got Double"):
    quantized(torch.from_numpy(images[:1]).double())

# %% gradient
with expected(RuntimeError, "does not require grad"):
    quantized(torch.from_numpy(images[:1])).sum().backward()
