"""Ways from eager mode to FX that fail, and what is refused: the errors, verbatim.

The public functions are given an eager model with observers, its state dict, and an int8 one.
Source: run with PyTorch 2.13; handbook.eager_to_fx.
"""

# %% load
import contextlib
import copy
import io
import logging
import warnings

import torch
from torch import nn

logging.disable(logging.WARNING)  # torchao mentions the GPU kernels that it does not find
from torch.ao import quantization as aoq
from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx
from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode
from torch.fx.proxy import TraceError

from handbook.data import fashion_mnist
from handbook.eager_example import load_eager_example, modules_to_fuse
from handbook.eager_to_fx import eager_observed_to_fx
from handbook.record import expected
from handbook.running_example import load_running_example, predict

# Three deprecation notices, which the page on static quantization explains, and what it says of
# observers that have seen nothing.
warnings.filterwarnings("ignore", "torch.ao.quantization is deprecated")
warnings.filterwarnings("ignore", "Please use quant_min and quant_max")
warnings.filterwarnings("ignore", "torch.quantize_per_tensor, torch.quantize_per_channel")
warnings.filterwarnings("ignore", "must run observer before calling calculate_qparams")
torch.set_num_threads(1)
torch.backends.quantized.engine = "x86"
calibration_images, (test_images, labels) = fashion_mnist("train")[0][:200], fashion_mnist("test")
example_inputs = (torch.from_numpy(test_images[:2]),)
mapping = aoq.get_default_qconfig_mapping("x86")


def observed(model, groups=()):
    model = aoq.fuse_modules(model, groups) if groups else model
    model.qconfig = aoq.get_default_qconfig("x86")
    return aoq.prepare(model)


# %% eager
model = load_eager_example()
eager = observed(model, modules_to_fuse(model))
predict(eager, calibration_images)

# %% prepare_again
with expected(TraceError, "symbolically traced variables cannot be used as inputs"):
    prepare_fx(copy.deepcopy(eager), mapping, example_inputs)

# %% convert
with expected(ValueError, "input model must be a GraphModule"):
    convert_fx(copy.deepcopy(eager))

# %% state_dict
prepared = prepare_fx(load_running_example(), mapping, example_inputs)
try:
    prepared.load_state_dict(eager.state_dict())
except RuntimeError as error:
    print(str(error)[:170], "...")

# %% not_strict
from handbook.measure import accuracy
from handbook.record import record

prepared.load_state_dict(eager.state_dict(), strict=False)  # without a word
lost = accuracy(predict(convert_fx(prepared), test_images), labels).percent
record(lost=lost, tolerance=5, because="kernels of other CPUs")
assert lost < 40

# %% export_observed
silence = contextlib.redirect_stderr(io.StringIO())  # torch.export prints the graph so far
with expected(GuardOnDataDependentSymNode, "Eq(u0, 1)"), silence:
    torch.export.export(copy.deepcopy(eager), example_inputs)

# %% export_int8
with expected(AttributeError, "__obj_flatten__"):
    torch.export.export(aoq.convert(copy.deepcopy(eager)), example_inputs)

# %% not_calibrated
with expected(ValueError, "has observed nothing"):
    eager_observed_to_fx(observed(load_eager_example()), example_inputs)

# %% not_fused
layers = [nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU()]
model = observed(nn.Sequential(aoq.QuantStub(), *layers, aoq.DeQuantStub()).eval())
predict(model, calibration_images)
with expected(ValueError, "FX has no place for its observer"):
    eager_observed_to_fx(model, example_inputs)
