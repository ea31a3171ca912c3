"""Ways from FX quantization aware training to PT2E that fail, some of them silently.

A small model is trained by FX mode, and handed on in each way that looks as if it could work.
Source: run with PyTorch 2.13 and torchao 0.18.
"""

# %% load
import contextlib
import copy
import io
import logging
import warnings

import torch

logging.disable(logging.WARNING)  # torchao mentions the GPU kernels that it does not find
from torch.ao.quantization import disable_observer
from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx, prepare_qat_fx
from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode
from torchao.quantization import pt2e
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_qat_pt2e

from handbook.fixed_quantizer import FixedQuantizer, marked
from handbook.fx_qat import qat_mapping
from handbook.record import expected
from handbook.running_example import load_running_example

warnings.simplefilter("ignore")  # deprecation notices of FX mode, and of its tensor types
torch.set_num_threads(1)
torch.backends.quantized.engine = "onednn"
torch.manual_seed(0)
images = torch.randn(4, 1, 28, 28)
silence = contextlib.redirect_stderr(io.StringIO())  # torch.export prints a graph with its error

# %% trained
model = torch.nn.Sequential(load_running_example().stem.conv, torch.nn.BatchNorm2d(16))
prepared = prepare_qat_fx(model.train(), qat_mapping(), (images,))
prepared(images)
prepared.eval().apply(disable_observer)

# %% fake_quantized
with expected(GuardOnDataDependentSymNode, "Could not guard on data-dependent expression"), silence:
    torch.export.export(prepared, (images,))

# %% converted
quantized = convert_fx(copy.deepcopy(prepared))
with expected(AttributeError, "__obj_flatten__"):
    torch.export.export(quantized, (images,))

# %% silent
same = convert_pt2e(copy.deepcopy(prepared))
kinds = [type(module).__name__ for module in same.children()]
operations = [node for node in same.graph.nodes if "quantize_per_tensor" in str(node.target)]
print(*kinds, "and", len(operations), "operations that quantize")
assert "FakeQuantize" in kinds and not operations

# %% state
floats = torch.export.export(marked(prepared, training=True), (images,)).module()
observed = prepare_qat_pt2e(floats, FixedQuantizer(prepared, live=True))
weight = observed.activation_post_process_1  # in FX, this name is that of an activation
before = len(weight.scale)
with expected(RuntimeError, "Missing key(s)"):
    observed.load_state_dict(prepared.state_dict())
print("scales of the weight:", before, "before,", len(weight.scale), "after")
assert before == 16 and len(weight.scale) == 1

# %% random
torch.manual_seed(0)
first = torch.rand(())
torch.manual_seed(0)
pt2e.move_exported_model_to_train(observed)
second = torch.rand(())
print("the same random number:", bool(first == second))
assert first != second

# %% refuses
transposed = torch.nn.Sequential(torch.nn.ConvTranspose2d(1, 2, 3), torch.nn.ReLU()).eval()
mapping = torch.ao.quantization.get_default_qconfig_mapping("qnnpack")
calibrated = prepare_fx(transposed, mapping, (images,))
calibrated(images)
with expected(ValueError, "cannot be carried over"):
    FixedQuantizer(calibrated)
