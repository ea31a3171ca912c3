"""Eager mode: saving and loading.

A quantized model goes into a file as its state dict. Loading needs a model of the same structure:
built, fused, prepared and converted, without calibration. And what each forgotten step raises.
Source: run with torch.ao.quantization of PyTorch 2.13.
"""

# %% load
import warnings

import numpy as np
import torch
from torch.ao.quantization import convert, fuse_modules, get_default_qconfig, prepare

from handbook.data import fashion_mnist
from handbook.eager_example import EagerExample, load_eager_example, modules_to_fuse
from handbook.record import expected
from handbook.running_example import predict

warnings.simplefilter("ignore")  # the deprecation notices that ptq_static.py names
torch.backends.quantized.engine = "x86"
images = fashion_mnist("test")[0][:1000]


def prepared(model):
    fused = fuse_modules(model.eval(), modules_to_fuse(model))
    fused.qconfig = get_default_qconfig("x86")
    return prepare(fused)


# %% save
observed = prepared(load_eager_example())
predict(observed, fashion_mnist("train")[0][:1000])
quantized = convert(observed)
torch.save(quantized.state_dict(), "int8.pt")
for name in ("quant.scale", "stem.conv.weight", "stem.conv.bias", "stem.conv.scale", "add.scale"):
    entry = quantized.state_dict()[name]
    print(f"{name:17}", entry.dtype, tuple(entry.shape))

# %% restore
model = convert(prepared(EagerExample()))  # random weights, nothing observed
model.load_state_dict(torch.load("int8.pt"))
same = np.array_equal(predict(model, images), predict(quantized, images))
print("the same outputs:", same)
assert same

# %% observed
torch.save(observed.state_dict(), "observed.pt")  # to convert later, or for another engine
again = prepared(EagerExample())
again.load_state_dict(torch.load("observed.pt"))
assert np.array_equal(predict(convert(again), images), predict(quantized, images))

# %% other_engine
torch.backends.quantized.engine = "qnnpack"
on_qnnpack = convert(prepared(EagerExample()))
on_qnnpack.load_state_dict(torch.load("int8.pt"))  # packs the weights for the engine of the moment
agreement = (predict(on_qnnpack, images).argmax(1) == predict(quantized, images).argmax(1)).mean()
print("same answers:", agreement)
assert agreement > 0.98
torch.backends.quantized.engine = "x86"

# %% into_float
int8_stem = quantized.stem.state_dict()  # the first block alone, for a short message
with expected(RuntimeError, "Copying from quantized Tensor to non-quantized Tensor"):
    EagerExample().stem.load_state_dict(int8_stem)

# %% into_prepared
with expected(RuntimeError, "Missing key(s) in state_dict"):
    prepared(EagerExample()).stem.load_state_dict(int8_stem)

# %% into_unfused
unfused = EagerExample().eval()
unfused.qconfig = get_default_qconfig("x86")
with expected(RuntimeError, "Missing key(s) in state_dict"):
    convert(prepare(unfused)).stem.load_state_dict(int8_stem)
