"""Public ways from FX to PT2E that fail: the errors, verbatim.

The converted and the public reference model are each given to torch.export.
Source: run with PyTorch 2.13.
"""

# %% load
import contextlib
import copy
import io
import logging
import warnings

import torch

logging.disable(logging.WARNING)  # torchao mentions the GPU kernels that it does not find
from torch._subclasses.fake_tensor import UnsupportedFakeTensorException
from torch.ao.quantization import get_default_qconfig_mapping
from torch.ao.quantization.quantize_fx import convert_fx, convert_to_reference_fx, prepare_fx

from handbook.data import fashion_mnist
from handbook.record import expected
from handbook.running_example import load_running_example, predict

# Three deprecation notices, which the page on static quantization explains.
warnings.filterwarnings("ignore", "torch.ao.quantization is deprecated")
warnings.filterwarnings("ignore", "Please use quant_min and quant_max")
warnings.filterwarnings("ignore", "torch.quantize_per_tensor, torch.quantize_per_channel")
# And one that only CPUs without VNNI give: what it warns of is measured in fx/no_vnni.py.
warnings.filterwarnings("ignore", "Default qconfig of oneDNN backend")
torch.set_num_threads(1)
torch.backends.quantized.engine = "onednn"
calibration_images = fashion_mnist("train")[0][:1000]
test_images, labels = fashion_mnist("test")
example_inputs = (torch.from_numpy(test_images[:2]),)  # two: one would fix the batch at 1
any_batch = ({0: torch.export.Dim("batch")},)
mapping = get_default_qconfig_mapping("onednn")
prepared = prepare_fx(load_running_example(), mapping, example_inputs)
predict(prepared, calibration_images)

# %% prepared
from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode

silence = contextlib.redirect_stderr(io.StringIO())  # torch.export prints the graph so far
with expected(GuardOnDataDependentSymNode, "Eq(u0, 1)"), silence:
    torch.export.export(copy.deepcopy(prepared), example_inputs)

# %% converted
quantized = convert_fx(copy.deepcopy(prepared))
with expected(AttributeError, "__obj_flatten__"):
    torch.export.export(quantized, example_inputs)

# %% reference
reference = convert_to_reference_fx(copy.deepcopy(prepared))
assert torch.isfinite(reference(*example_inputs)).all()  # it runs, and yet:
with expected(UnsupportedFakeTensorException, "quantized nyi in meta tensors"):
    torch.export.export(reference, example_inputs)
