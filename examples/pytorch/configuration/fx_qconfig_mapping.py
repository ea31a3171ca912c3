"""FX: a QConfigMapping from names to QConfigs, and three layers that deviate from it.

The scheme: activations in uint8 by minimum and maximum, weights in int8, symmetric, one scale for
each output channel. Then one layer stays float, one gets a single scale, one gets 4 bits.
Source: torch/ao/quantization/qconfig_mapping.py and quantize_fx.py.
"""

# %% load
import json
import warnings

import torch
from torch.ao import quantization as tq
from torch.ao.nn import quantized as nnq
from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

from handbook.data import fashion_mnist
from handbook.record import artifact
from handbook.running_example import load_running_example, predict

for message in ("torch.ao.quantization is deprecated", "torch.quantize_per_tensor"):
    warnings.filterwarnings("ignore", message)
torch.backends.quantized.engine = "x86"
calibration_images = fashion_mnist("train")[0][:500]
example_inputs = (torch.from_numpy(calibration_images[:1]),)

# %% scheme
activation = tq.MinMaxObserver.with_args(dtype=torch.quint8, qscheme=torch.per_tensor_affine)
weight = tq.PerChannelMinMaxObserver.with_args(
    dtype=torch.qint8, qscheme=torch.per_channel_symmetric, quant_min=-128, quant_max=127
)
scheme = tq.QConfig(activation=activation, weight=weight)


def mapping():
    return tq.QConfigMapping().set_global(scheme)


# %% quantize
def quantize(qconfig_mapping):
    prepared = prepare_fx(load_running_example(), qconfig_mapping, example_inputs)
    predict(prepared, calibration_images)

    parameters = {}
    for node in prepared.graph.nodes:
        if node.name.startswith("activation_post_process"):
            tensor = str(node.args[0].target).removesuffix(".conv")
            tensor = node.args[0].name if node.args[0].op == "call_function" else tensor
            observer = prepared.get_submodule(node.target)
            parameters[tensor] = [p.tolist() for p in observer.calculate_qparams()]
    quantized = convert_fx(prepared)
    for name, layer in quantized.named_modules():
        if isinstance(layer, nnq.Conv2d | nnq.Linear):
            w, tensor = layer.weight(), name.removesuffix(".conv") + " weight"
            if w.qscheme() == torch.per_channel_affine:
                found = w.q_per_channel_scales().tolist(), w.q_per_channel_zero_points().tolist()
            else:
                found = [w.q_scale()], [w.q_zero_point()]
            parameters[tensor] = list(found)
    return parameters, quantized


baseline, quantized = quantize(mapping())
print(quantized.stem.conv)
artifact("pytorch/configuration/fx_qconfig_mapping/parameters.json").write_text(
    json.dumps(baseline)
)


# %% one_layer_float
def changed(parameters):
    tensors = baseline | parameters
    return [tensor for tensor in tensors if baseline.get(tensor) != parameters.get(tensor)]


parameters, quantized = quantize(mapping().set_module_name("classifier", None))
print(changed(parameters))
assert changed(parameters) == ["classifier", "classifier weight"]
assert isinstance(quantized.classifier, torch.nn.Linear)

# %% one_layer_per_tensor
per_tensor = tq.MinMaxObserver.with_args(dtype=torch.qint8, qscheme=torch.per_tensor_symmetric)
one_scale = tq.QConfig(activation=activation, weight=per_tensor)
parameters, _ = quantize(mapping().set_module_name("separable1.depthwise", one_scale))
print(changed(parameters), parameters["separable1.depthwise weight"])
assert changed(parameters) == ["separable1.depthwise weight"]

# %% four_bits
in_four_bits = tq.QConfig(activation, weight.with_args(quant_min=-8, quant_max=7))
parameters, quantized = quantize(mapping().set_module_name("branch3x3", in_four_bits))
integers = quantized.branch3x3.conv.weight().int_repr()
print(changed(parameters), "integers", integers.min().item(), "to", integers.max().item())
assert changed(parameters) == ["branch3x3 weight"]
assert integers.max() == 8  # FX does not clip at quant_max
