"""Configurations that fail, and configurations that are ignored without a word.

A misspelled name, a type that the backend lacks, no configuration at all, a spec with a part
missing, and a float layer among quantized ones.
Source: run with torch.ao.quantization of PyTorch 2.13 and torchao 0.18.
"""

# %% load
import logging
import warnings

import torch
from torch.ao import quantization as tq
from torch.ao.nn import quantized as nnq
from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

from handbook.data import fashion_mnist
from handbook.eager_example import load_eager_example, modules_to_fuse
from handbook.record import expected
from handbook.running_example import load_running_example

logging.disable(logging.WARNING)  # torchao mentions the GPU kernels that it does not find
from torchao.quantization.pt2e import MinMaxObserver, PerChannelMinMaxObserver
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
from torchao.quantization.pt2e.quantizer import QuantizationConfig, QuantizationSpec
from torchao.quantization.pt2e.quantizer.x86_inductor_quantizer import X86InductorQuantizer

warnings.simplefilter("ignore")  # the deprecation notices
torch.backends.quantized.engine = "x86"
images = torch.from_numpy(fashion_mnist("train")[0][:100])
activation = tq.MinMaxObserver.with_args(dtype=torch.quint8)
scheme = tq.QConfig(activation, tq.default_per_channel_weight_observer)


def fx(mapping):
    prepared = prepare_fx(load_running_example(), mapping, (images,))
    prepared(images)
    return convert_fx(prepared)


def pt2e(quantizer, model=None):
    model = model or torch.export.export(load_running_example(), (images,)).module()
    prepared = prepare_pt2e(model, quantizer)
    prepared(images)
    return convert_pt2e(prepared)


def layers_in_int8(model):
    return sum(isinstance(m, nnq.Conv2d | nnq.Linear) for m in model.modules())


# %% misspelled
quantized = fx(tq.QConfigMapping().set_global(scheme).set_module_name("clasifier", None))
print(type(quantized.classifier))
assert layers_in_int8(quantized) == 11  # all of them

# %% type_of_the_backend
unsigned_weights = tq.QConfig(activation, activation)
signed_activations = scheme._replace(activation=activation.with_args(dtype=torch.qint8))
for qconfig in (unsigned_weights, signed_activations):
    quantized = fx(tq.QConfigMapping().set_global(qconfig))
    print("layers in int8:", layers_in_int8(quantized))
    assert layers_in_int8(quantized) == 0

# %% engine
with expected(AssertionError, "backend: x68 not supported"):
    tq.get_default_qconfig("x68")

# %% eager_without
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    tq.prepare(load_eager_example())
texts = {" ".join(str(warning.message).split()) for warning in caught}
print(*(text for text in texts if "qconfig" in text))
assert any("None of the submodule got qconfig applied" in text for text in texts)

# %% eager_float_layer
unfused = load_eager_example()
model = tq.fuse_modules(unfused, modules_to_fuse(unfused))
model.qconfig, model.classifier.qconfig = scheme, None
prepared = tq.prepare(model)
prepared(images)
with expected(RuntimeError, "mat1 and mat2 must have the same dtype"):
    tq.convert(prepared)(images)

# %% not_exported
with expected(AttributeError, "'RunningExample' object has no attribute 'meta'"):
    pt2e(X86InductorQuantizer(), load_running_example())

# %% nothing_set
quantized = pt2e(X86InductorQuantizer())  # no set_global
operations = [node for node in quantized.graph.nodes if "quantize" in str(node.target)]
print("quantize operations:", len(operations))
assert not operations

# %% channel_axis
uint8 = QuantizationSpec(torch.uint8, MinMaxObserver, 0, 255, torch.per_tensor_affine)
int8 = QuantizationSpec(torch.int8, PerChannelMinMaxObserver, qscheme=torch.per_channel_symmetric)
with expected(TypeError, "list indices must be integers or slices, not NoneType"):
    pt2e(X86InductorQuantizer().set_global(QuantizationConfig(uint8, uint8, int8, None)))
