"""FX static quantization to PT2E by a Quantizer with fixed parameters.

PT2E annotates, folds and converts the float network by its own functions; each edge gets the scale
and the zero point that FX has observed. The outputs on all 10 000 test images are those of the
decomposed reference.
Source: torchao/quantization/pt2e/quantizer/quantizer.py, torchao 0.18; handbook.fixed_quantizer.
"""

# %% load
import logging
import warnings

import torch

logging.disable(logging.WARNING)  # torchao mentions the GPU kernels that it does not find
from torch.ao.quantization import get_default_qconfig_mapping
from torch.ao.quantization.quantize_fx import prepare_fx
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

from handbook import export
from handbook.data import fashion_mnist
from handbook.fixed_quantizer import FixedQuantizer, marked
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

# %% convert
floats = marked(prepared)  # the float network, with a mark in the place of each observer
exported = torch.export.export(floats, example_inputs, dynamic_shapes=any_batch).module()
annotated = prepare_pt2e(exported, FixedQuantizer(prepared))  # nothing is left to calibrate
converted = convert_pt2e(annotated)

# %% compare
from handbook.conversions import conversions, parity
from handbook.record import record

reference = export.fx_prepared_to_pt2e(prepared, example_inputs, any_batch)
wanted, found = (export.activation_parameters(model) for model in (reference, converted))
assert list(wanted.values()) == list(found.values())  # all scales, zero points and limits
pairs = zip(export.integer_weights(reference), export.integer_weights(converted), strict=True)
assert all(torch.equal(a, b) for pair in pairs for a, b in zip(*pair, strict=True))
logits, outputs = predict(reference, test_images), predict(converted, test_images)
assert (outputs == logits).all()  # to the last bit
record(activations=len(found), outputs=outputs.size)

row = parity(outputs, logits, labels, list(found.values())[-1][0]) | {"equal parameters %": 100.0}
edge = ("PyTorch FX, observed", "PyTorch PT2E, int8", "FixedQuantizer")
conversions({edge: row}, because="float kernels of other CPUs sum in another order")
