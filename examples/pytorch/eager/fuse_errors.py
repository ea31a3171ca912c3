"""Eager mode: what fuse_modules refuses.

A name that does not exist, modules in an order that it does not know, and the wrong mode.
Source: run with torch.ao.quantization of PyTorch 2.13.
"""

# %% load
import warnings

from torch.ao.quantization import fuse_modules

from handbook.eager_example import load_eager_example
from handbook.record import expected

warnings.simplefilter("ignore")  # the deprecation notices that the page on PTQ shows
model = load_eager_example()

# %% wrong_name
with expected(AttributeError, "has no attribute 'batchnorm'"):
    fuse_modules(model, ["stem.conv", "stem.batchnorm"])

# %% wrong_order
with expected(AssertionError, "did not find fuser method for"):
    fuse_modules(model, ["stem.bn", "stem.conv"])

# %% training_mode
with expected(AssertionError, "Fusion only for eval!"):
    fuse_modules(model.train(), ["stem.conv", "stem.bn"])
assert type(model.stem.bn).__name__ == "BatchNorm2d"  # nothing was fused
