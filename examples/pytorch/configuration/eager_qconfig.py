"""Eager mode: a QConfig as an attribute of modules, and three layers that deviate from it.

The scheme: activations in uint8 by minimum and maximum, weights in int8, symmetric, one scale for
each output channel. Then one layer stays float, one gets a single scale, one gets 4 bits.
Source: torch/ao/quantization/qconfig.py and quantize.py.
"""

# %% load
import json
import warnings

import torch
from torch import nn
from torch.ao import quantization as tq
from torch.ao.nn import quantized as nnq

from handbook.data import fashion_mnist
from handbook.eager_example import load_eager_example, modules_to_fuse
from handbook.record import artifact
from handbook.running_example import predict

for message in ("torch.ao.quantization is deprecated", "torch.quantize_per_tensor"):
    warnings.filterwarnings("ignore", message)
torch.backends.quantized.engine = "x86"
calibration_images = fashion_mnist("train")[0][:500]

# %% scheme
activation = tq.MinMaxObserver.with_args(dtype=torch.quint8, qscheme=torch.per_tensor_affine)
weight = tq.PerChannelMinMaxObserver.with_args(
    dtype=torch.qint8, qscheme=torch.per_channel_symmetric, quant_min=-128, quant_max=127
)
scheme = tq.QConfig(activation=activation, weight=weight)


def float_model():
    unfused = load_eager_example()
    model = tq.fuse_modules(unfused, modules_to_fuse(unfused))
    model.qconfig = scheme  # of every module below it that has none of its own
    return model


# %% quantize
def quantize(model):
    prepared = tq.prepare(model)
    # The inputs and the output of the concatenation share an observer, as in FX and in PT2E.
    for branch in (prepared.branch1x1.conv, prepared.branch3x3.conv):
        branch.activation_post_process = prepared.cat.activation_post_process
    predict(prepared, calibration_images)

    parameters = {}
    for name, observer in prepared.named_modules(remove_duplicate=False):
        if isinstance(observer, tq.ObserverBase):
            tensor = name.removesuffix(".activation_post_process").removesuffix(".conv")
            parameters[tensor] = [p.tolist() for p in observer.calculate_qparams()]
    quantized = tq.convert(prepared)
    for name, layer in quantized.named_modules():
        if isinstance(layer, nnq.Conv2d | nnq.Linear):
            w, tensor = layer.weight(), name.removesuffix(".conv") + " weight"
            if w.qscheme() == torch.per_channel_affine:
                found = w.q_per_channel_scales().tolist(), w.q_per_channel_zero_points().tolist()
            else:
                found = [w.q_scale()], [w.q_zero_point()]
            parameters[tensor] = list(found)
    return parameters, quantized


baseline, quantized = quantize(float_model())
print(quantized.stem.conv)
artifact("pytorch/configuration/eager_qconfig/parameters.json").write_text(json.dumps(baseline))


# %% one_layer_float
def changed(parameters):
    tensors = baseline | parameters
    return [tensor for tensor in tensors if baseline.get(tensor) != parameters.get(tensor)]


model = float_model()
model.classifier.qconfig = None
model.classifier = nn.Sequential(tq.DeQuantStub(), model.classifier)  # the model has to be edited
parameters, quantized = quantize(model)
print(changed(parameters))
assert changed(parameters) == ["classifier", "classifier weight"]
assert isinstance(quantized.classifier[1], nn.Linear)

# %% one_layer_per_tensor
per_tensor = tq.MinMaxObserver.with_args(dtype=torch.qint8, qscheme=torch.per_tensor_symmetric)
model = float_model()
model.separable1.depthwise.qconfig = tq.QConfig(activation=activation, weight=per_tensor)
parameters, _ = quantize(model)
print(changed(parameters), parameters["separable1.depthwise weight"])
assert changed(parameters) == ["separable1.depthwise weight"]

# %% four_bits
model = float_model()
model.branch3x3.qconfig = tq.QConfig(activation, weight.with_args(quant_min=-8, quant_max=7))
parameters, quantized = quantize(model)
integers = quantized.branch3x3.conv.weight().int_repr()
print(changed(parameters), "integers", integers.min().item(), "to", integers.max().item())
assert changed(parameters) == ["branch3x3 weight"] and integers.max() == 7
