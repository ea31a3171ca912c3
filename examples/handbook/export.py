"""FX graph mode to PT2E: an exported model with the parameters that an FX model has.

Every function returns a new model and leaves the one that it is given alone. A model that cannot be
carried over is a ValueError that names the module or node. Static quantization, for float32 images.
Source: torch.ao.quantization.quantize_fx, torchao.quantization.pt2e.quantize_pt2e.
"""

import copy
import operator

import torch
from torch import fx, nn
from torch.ao.nn import quantized as nnq
from torch.ao.nn.intrinsic import quantized as nniq
from torch.ao.quantization.fake_quantize import FakeQuantizeBase
from torch.ao.quantization.observer import ObserverBase
from torch.ao.quantization.quantize_fx import _convert_to_reference_decomposed_fx
from torch.nn import functional as F
from torchao.quantization.pt2e.constant_fold import constant_fold
from torchao.quantization.pt2e.quantize_pt2e import _quant_node_constraint

OPS = torch.ops.quantized_decomposed  # registered by the imports above
QUANTIZE = OPS.quantize_per_tensor.default
DEQUANTIZE = OPS.dequantize_per_tensor.default

# Their reference form is a float layer between quantize and dequantize.
_CARRIED = (nn.Conv1d, nn.Conv2d, nn.Linear, nn.BatchNorm2d, nn.ReLU, nn.ReLU6, nn.Hardswish)
_CARRIED += (nn.Hardsigmoid, nn.Sigmoid, nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d)
_CARRIED += (nn.Dropout, nn.Identity, nn.Flatten, ObserverBase, FakeQuantizeBase)


# From the prepared model


def fx_prepared_to_pt2e(prepared, example_inputs, dynamic_shapes=None) -> fx.GraphModule:
    """Return the PT2E model of one that prepare_fx or prepare_qat_fx made, calibrated or trained.

    It is what convert_pt2e returns: ATen operations between `quantized_decomposed` ones, int8
    weights. `dynamic_shapes` is that of torch.export.export. Raises ValueError for a module that
    is not of a carried type, and for an observer that has seen nothing.
    """
    for node in prepared.graph.nodes:
        if node.op == "call_module":
            module = prepared.get_submodule(node.target)
            fused = type(module).__module__.startswith("torch.ao.nn.intrinsic")
            if not fused and not isinstance(module, _CARRIED):
                raise ValueError(f"{node.target}: a {type(module).__name__} cannot be carried over")
            observer = getattr(module, "activation_post_process", module)
            if torch.isinf(torch.as_tensor(getattr(observer, "min_val", 0.0))).any():
                raise ValueError(f"{node.target}: has observed nothing: calibrate the model first")
    # The decomposed form: the public convert_to_reference_fx gives quantized tensors instead.
    reference = _convert_to_reference_decomposed_fx(copy.deepcopy(prepared).eval())
    exported = torch.export.export(reference, example_inputs, dynamic_shapes=dynamic_shapes)
    module = exported.module()
    constant_fold(module, _quant_node_constraint)  # quantizes the weights now, not at each call
    return module


# From the converted model

_ADDS = {torch.ops.quantized.add: False, torch.ops.quantized.add_relu: True}
_KEEP = {torch.cat, torch.flatten, F.max_pool2d, torch.relu, F.relu, F.adaptive_avg_pool2d}
_KEEP |= {F.avg_pool2d, "mean", "flatten", "reshape", "view", "relu"}  # their input's parameters
_LAYERS = (nnq.Conv2d, nniq.ConvReLU2d, nnq.Linear, nniq.LinearReLU)
_KEEP_MODULES = (nn.ReLU, nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.Flatten)
_KEEP_MODULES += (nn.Dropout, nn.Identity)


class _Layer(nn.Module):
    """A converted convolution or linear layer, in float, with its int8 weight dequantized."""

    def __init__(self, layer):
        super().__init__()
        weight, bias = layer.weight(), layer.bias()
        if weight.qscheme() not in (torch.per_channel_affine, torch.per_channel_symmetric):
            weight_scale = torch.full((len(weight),), weight.q_scale())
            zero_point = torch.full((len(weight),), weight.q_zero_point())
        else:  # float64 inside, and made from float32
            weight_scale = weight.q_per_channel_scales().float()
            zero_point = weight.q_per_channel_zero_points()
        self.register_buffer("weight", weight.int_repr())
        self.register_buffer("weight_scale", weight_scale)
        self.register_buffer("weight_zero_point", zero_point)
        self.register_buffer("bias", None if bias is None else bias.detach())
        self.relu = "ReLU" in type(layer).__name__
        self.conv = isinstance(layer, nnq.Conv2d)
        if self.conv:
            self.options = (layer.stride, layer.padding, layer.dilation, layer.groups)

    def forward(self, x):
        scheme = (self.weight_scale, self.weight_zero_point, 0, -128, 127, torch.int8)
        weight = OPS.dequantize_per_channel(self.weight, *scheme)
        if self.conv:
            y = F.conv2d(x, weight, self.bias, *self.options)
        else:
            y = F.linear(x, weight, self.bias)
        return F.relu(y) if self.relu else y


def fx_int8_to_pt2e(quantized, example_inputs, dynamic_shapes=None) -> fx.GraphModule:
    """Return the PT2E model of one that convert_fx made: scales and weights are read out of it.

    Activations get the limits of their type: converted modules hold no others, so that 7 bits
    (`reduce_range`) become 8, as in the int8 kernels. Raises ValueError for what it does not know.
    """
    model, parameters = copy.deepcopy(quantized), {}
    graph = model.graph
    for node in list(graph.nodes):
        first = node.args[0] if node.args else None
        first = first[0] if isinstance(first, list | tuple) else first
        layer = model.get_submodule(node.target) if node.op == "call_module" else None
        if node.op in ("placeholder", "get_attr", "output"):
            continue
        elif node.target is torch.quantize_per_tensor and node.args[3] is torch.quint8:
            scale, zero_point = (getattr(model, a.target).item() for a in node.args[1:3])
            found, node.target, node.args = (scale, zero_point), torch.clone, (first,)
        elif node.target == "dequantize":
            node.replace_all_uses_with(first)
            continue
        elif first not in parameters and node.target is not torch.quantize_per_tensor:
            continue  # a float part of the network
        elif type(layer) in _LAYERS and getattr(layer, "padding_mode", "zeros") == "zeros":
            found = (layer.scale, layer.zero_point)
            model.set_submodule(node.target, _Layer(layer))
        elif isinstance(layer, nnq.Hardswish):
            found = (float(layer.scale), int(layer.zero_point))
            model.set_submodule(node.target, nn.Hardswish())
        elif node.target in _ADDS:
            found = tuple(getattr(model, a.target).item() for a in node.args[2:4])
            relu, node.target, node.args = _ADDS[node.target], operator.add, node.args[:2]
            if relu:
                with graph.inserting_after(node):
                    added, node = node, graph.call_function(F.relu, (node,))
                added.replace_all_uses_with(node, delete_user_cb=lambda user, n=node: user is not n)
        elif node.target in _KEEP or isinstance(layer, _KEEP_MODULES):
            found = parameters[first]
        else:
            what = f"a {type(layer).__name__}" if layer else f"{node.target}"
            raise ValueError(f"{node.name}: {what} cannot be carried over")
        limits = (*found, 0, 255, torch.uint8)
        with graph.inserting_after(node):
            integers = graph.call_function(QUANTIZE, (node, *limits))
        with graph.inserting_after(integers):
            rounded = graph.call_function(DEQUANTIZE, (integers, *limits))
        node.replace_all_uses_with(rounded, delete_user_cb=lambda user, n=integers: user is not n)
        parameters[rounded] = found
    graph.eliminate_dead_code()
    model.recompile()
    return torch.export.export(model, example_inputs, dynamic_shapes=dynamic_shapes).module()


# To int8 activations


def shift_to_int8(exported) -> fx.GraphModule:
    """Return a PT2E model with int8 activations in place of uint8 ones, and the same outputs.

    Zero points and limits move by 128: q - zero_point, and so every value, stays as it is.
    """
    model = copy.deepcopy(exported)
    for node in model.graph.nodes:
        if node.target in (QUANTIZE, DEQUANTIZE) and node.args[5] is torch.uint8:
            x, scale, *integers, _ = node.args
            node.args = (x, scale, *(value - 128 for value in integers), torch.int8)
    model.recompile()
    return model


# What a model holds


def activation_parameters(model) -> dict[str, tuple[float, int, int, int]]:
    """Return scale, zero point and limits of each quantized activation, in the graph's order.

    Of a model that is prepared by FX, or exported; the key is the name of the node that is rounded.
    """
    found = {}
    for node in model.graph.nodes:
        if node.target is QUANTIZE:
            found[node.args[0].name] = tuple(node.args[1:5])
        elif node.op == "call_module":
            observer = model.get_submodule(node.target)
            if isinstance(observer, ObserverBase | FakeQuantizeBase):
                scale, zero_point = observer.calculate_qparams()
                limits = (observer.quant_min, observer.quant_max)
                found[node.args[0].name] = (scale.item(), zero_point.item(), *limits)
    return found


def integer_weights(exported) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return the int8 weight and the scales, one a channel, of each layer in the graph's order."""
    found = []
    for node in exported.graph.nodes:
        if node.target is OPS.dequantize_per_channel.default:
            found.append(tuple(operator.attrgetter(a.target)(exported) for a in node.args[:2]))
    return found
