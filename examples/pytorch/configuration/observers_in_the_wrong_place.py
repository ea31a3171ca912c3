"""Observers in the wrong place: per channel on activations, and from the other package.

torch.ao.quantization and torchao have classes of the same names, and neither knows the other's.
Some mixtures are errors; one gives a float model without a word.
Source: run with PyTorch 2.13 and torchao 0.18.
"""

# %% load
import logging
import traceback
import warnings

import torch
from torch.ao import quantization as torch_ao
from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

from handbook.data import fashion_mnist
from handbook.record import expected
from handbook.running_example import load_running_example

logging.disable(logging.WARNING)  # torchao mentions the GPU kernels that it does not find
from torchao.quantization import pt2e
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
from torchao.quantization.pt2e.quantizer import QuantizationConfig, QuantizationSpec
from torchao.quantization.pt2e.quantizer.x86_inductor_quantizer import X86InductorQuantizer

warnings.simplefilter("ignore")  # the deprecation notices
torch.backends.quantized.engine = "x86"
images = torch.from_numpy(fashion_mnist("train")[0][:100])
stem, model = load_running_example().stem, load_running_example()
weight = torch_ao.default_per_channel_weight_observer


def fx(network, observer):
    mapping = torch_ao.QConfigMapping().set_global(torch_ao.QConfig(observer, weight))
    prepared = prepare_fx(network, mapping, (images,))
    prepared(images)
    return convert_fx(prepared)


def pt2e_activations(observer, qscheme=torch.per_tensor_affine):
    spec = QuantizationSpec(torch.uint8, observer, 0, 255, qscheme=qscheme)
    quantizer = X86InductorQuantizer().set_global(QuantizationConfig(spec, spec, None, None))
    prepared = prepare_pt2e(torch.export.export(model, (images,)).module(), quantizer)
    prepared(images)
    return convert_pt2e(prepared)


# %% per_channel
per_channel = torch_ao.PerChannelMinMaxObserver.with_args(
    ch_axis=1, dtype=torch.quint8, qscheme=torch.per_channel_affine
)
simulated = fx(stem, per_channel)  # no error, and no integer convolution either
print(simulated.conv)
assert "Reference" in str(simulated.conv) and "quantize_per_channel" in simulated.code
assert "Reference" not in str(fx(load_running_example().stem, torch_ao.default_observer).conv)

# %% per_channel_pt2e
refused_in = None
try:
    pt2e_activations(pt2e.PerChannelMinMaxObserver, torch.per_channel_affine)
except AssertionError as error:
    refused_in = traceback.extract_tb(error.__traceback__)[-1].name
    print(f"AssertionError, with the message {str(error)!r}, from {refused_in}")
assert refused_in == "get_input_act_qspec"

# %% torchao_in_fx
with expected(AssertionError, "activation_post_process must be an activation post process"):
    fx(load_running_example(), pt2e.MinMaxObserver.with_args(dtype=torch.quint8))

# %% torch_ao_in_pt2e
with expected(AttributeError, "'_PartialWrapper' object has no attribute '__name__'"):
    pt2e_activations(torch_ao.MinMaxObserver.with_args(eps=1e-6))

# %% float_in_silence
converted = pt2e_activations(torch_ao.MinMaxObserver)  # no error
quantize = [node for node in converted.graph.nodes if "quantize" in str(node.target)]
print("quantize operations:", len(quantize))
print("observers still in it:", "activation_post_process" in converted.code)
assert not quantize and "activation_post_process" in converted.code
torch.testing.assert_close(converted(images), model(images), rtol=1e-4, atol=1e-4)  # float
assert any("quantize" in str(n.target) for n in pt2e_activations(pt2e.MinMaxObserver).graph.nodes)
