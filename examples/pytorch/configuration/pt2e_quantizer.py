"""PT2E: a Quantizer with a QuantizationConfig of specs, and three layers that deviate from it.

The scheme: activations in uint8 by minimum and maximum, weights in int8, symmetric, one scale for
each output channel. Then one layer stays float, one gets a single scale, one gets 4 bits.
Source: torchao/quantization/pt2e/quantizer: quantizer.py, utils.py, x86_inductor_quantizer.py.
"""

# %% load
import dataclasses
import json
import logging

import torch

logging.disable(logging.WARNING)  # torchao mentions the GPU kernels that it does not find
from torchao.quantization.pt2e import MinMaxObserver, PerChannelMinMaxObserver
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
from torchao.quantization.pt2e.quantizer import QuantizationConfig, QuantizationSpec
from torchao.quantization.pt2e.quantizer.x86_inductor_quantizer import X86InductorQuantizer

from handbook.data import fashion_mnist
from handbook.record import artifact
from handbook.running_example import load_running_example, predict

calibration_images = fashion_mnist("train")[0][:500]
example_inputs = (torch.from_numpy(calibration_images),)

# %% scheme
activation = QuantizationSpec(
    torch.uint8, MinMaxObserver, quant_min=0, quant_max=255, qscheme=torch.per_tensor_affine
)
weight = QuantizationSpec(
    dtype=torch.int8,
    observer_or_fake_quant_ctr=PerChannelMinMaxObserver,
    quant_min=-128,
    quant_max=127,
    qscheme=torch.per_channel_symmetric,
    ch_axis=0,
)


def config(weight):
    return QuantizationConfig(activation, activation, weight, bias=None)


def quantizer():
    return X86InductorQuantizer().set_global(config(weight))


# %% quantize
def quantize(quantizer):
    exported = torch.export.export(load_running_example(), example_inputs).module()
    prepared = prepare_pt2e(exported, quantizer)
    predict(prepared, calibration_images)

    parameters = {}
    for node in prepared.graph.nodes:
        if node.name.startswith("activation_post_process"):
            source, stack = node.args[0], node.args[0].meta.get("nn_module_stack", {})
            paths = [path for path, _ in stack.values() if path]
            own_name = source.target if source.op == "get_attr" else source.name
            name = (paths or [own_name])[-1].removesuffix(".relu")
            tensor = name.replace(".weight", " weight").replace(".conv", "")
            found = prepared.get_submodule(node.target).calculate_qparams()
            parameters[tensor] = [p.tolist() for p in found]
    return parameters, convert_pt2e(prepared)


baseline, quantized = quantize(quantizer())
print(next(node for node in quantized.graph.nodes if "quantize_per_tensor" in node.name).args[1:])
artifact("pytorch/configuration/pt2e_quantizer/parameters.json").write_text(json.dumps(baseline))


# %% one_layer_float
def changed(parameters):
    tensors = baseline | parameters
    return [tensor for tensor in tensors if baseline.get(tensor) != parameters.get(tensor)]


parameters, quantized = quantize(quantizer().set_module_name_qconfig("classifier", None))
print(changed(parameters))
assert changed(parameters) == ["classifier weight", "mean"]

# %% one_layer_per_tensor
one_scale = QuantizationSpec(
    torch.int8, MinMaxObserver, quant_min=-128, quant_max=127, qscheme=torch.per_tensor_symmetric
)
deviates = quantizer().set_module_name_qconfig("separable1.depthwise", config(one_scale))
parameters, _ = quantize(deviates)
print(changed(parameters), parameters["separable1.depthwise weight"])
assert changed(parameters) == ["separable1.depthwise weight"]

# %% four_bits
four_bits = config(dataclasses.replace(weight, quant_min=-8, quant_max=7))
parameters, quantized = quantize(quantizer().set_module_name_qconfig("branch3x3", four_bits))
dequantize = [n for n in quantized.graph.nodes if "dequantize_per_channel" in str(n.target)]
integers = [getattr(quantized, n.args[0].target) for n in dequantize if n.args[4] == -8]
print(changed(parameters), "integers", integers[0].min().item(), "to", integers[0].max().item())
assert changed(parameters) == ["branch3x3 weight"] and integers[0].max() == 7
