"""A converted int8 FX model to PT2E, when the prepared one is lost.

Scales, zero points and int8 weights are read out of the converted modules; the result equals the
export of the prepared model, on all 10 000 test images.
Source: run with torch.ao.quantization of PyTorch 2.13.
"""

# %% load
import copy
import logging
import warnings

import torch

logging.disable(logging.WARNING)  # torchao mentions the GPU kernels that it does not find
from torch.ao.quantization import get_default_qconfig_mapping
from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

from handbook import export
from handbook.data import fashion_mnist
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

quantized = convert_fx(copy.deepcopy(prepared))

# %% stored
layer = quantized.stem.conv
print(layer)
print(layer.weight().int_repr().dtype, layer.weight().q_per_channel_scales()[:2])

# %% rebuild
rebuilt = export.fx_int8_to_pt2e(quantized, example_inputs, any_batch)
exported = export.fx_prepared_to_pt2e(prepared, example_inputs, any_batch)
parameters = export.activation_parameters(rebuilt), export.activation_parameters(exported)
assert list(parameters[0].values()) == list(parameters[1].values())
weights = zip(export.integer_weights(rebuilt), export.integer_weights(exported), strict=True)
assert all(torch.equal(a, b) for pair in weights for a, b in zip(*pair, strict=True))

# %% results
from handbook.record import record

outputs = predict(rebuilt, test_images)
assert (outputs == predict(exported, test_images)).all()
record(outputs=outputs.size, tensors=len(parameters[0]))
print("identical outputs:", outputs.size)

# %% refuses
from handbook.record import expected

mapping.set_module_name("classifier", None)  # stays in float, and that is no problem
prepared = prepare_fx(load_running_example(), mapping, example_inputs)
with expected(ValueError, "has observed nothing"):
    export.fx_prepared_to_pt2e(prepared, example_inputs, any_batch)
