"""PyTorch's quantized models on their way to ONNX: biases, parameters, and what to compare with.

ONNX has biases in int32, with the scale of the input times that of the weight; PyTorch keeps them
in float. Source: QLinearConv of ONNX; requantize_bias_helper of PyTorch's TorchScript exporter.
"""

import copy
import json
import operator
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx.numpy_helper import to_array
from torch import nn
from torch.ao.nn.quantized.modules.utils import WeightedQuantizedModule
from torch.ao.quantization import ObserverBase

from handbook.export import DEQUANTIZE, OPS, QUANTIZE, activation_parameters, integer_weights

# Biases

_LAYERS = (torch.ops.aten.conv2d.default, torch.ops.aten.linear.default)


def round_biases(model: nn.Module, x: torch.Tensor) -> nn.Module:
    """Return an eager or FX int8 model whose biases are those that ONNX can hold.

    `x` is an example input, float32; it is run once, to learn each layer's input scale. A bias gets
    0.01 of a step more than a whole number, away from 0: the exporter cuts off digits instead of
    rounding. Raises ValueError for a model without int8 layers of per-channel weights.
    """
    model, rounded = copy.deepcopy(model), []

    def before(layer, inputs):
        weight, bias = layer.weight(), layer.bias().detach().double()
        step = inputs[0].q_scale() * weight.q_per_channel_scales()
        whole = (bias / step).round()
        layer.set_weight_bias(weight, ((whole + 0.01 * whole.sign()) * step).float())
        rounded.append(layer)

    layers = [m for m in model.modules() if isinstance(m, WeightedQuantizedModule)]
    hooks = [m.register_forward_pre_hook(before) for m in layers if m.bias() is not None]
    with torch.no_grad():
        model(x)
    for hook in hooks:
        hook.remove()
    if not rounded:
        raise ValueError("expected an int8 model of eager or FX mode: no layer has a bias")
    return model


def round_exported_biases(exported) -> torch.fx.GraphModule:
    """Return a PT2E model, converted, whose biases are those that ONNX can hold.

    It stays as it is otherwise. Raises ValueError for a model without int8 layers.
    """
    model, rounded = copy.deepcopy(exported), 0
    for node in model.graph.nodes:
        if node.target not in _LAYERS or len(node.args) < 3 or node.args[2] is None:
            continue
        x, weight, bias = node.args[:3]
        if weight.target is OPS.dequantize_per_channel.default:
            step = x.args[1] * operator.attrgetter(weight.args[1].target)(model).double()
            tensor = operator.attrgetter(bias.target)(model).data
            tensor.copy_(((tensor.double() / step).round() * step).float())
            rounded += 1
    if not rounded:
        raise ValueError("expected a model that convert_pt2e returned, with weights per channel")
    return model


def shift_to_uint8(exported) -> torch.fx.GraphModule:
    """Return a PT2E model with uint8 activations in place of int8 ones, and the same outputs."""
    model = copy.deepcopy(exported)
    for node in model.graph.nodes:
        if node.target in (QUANTIZE, DEQUANTIZE) and node.args[5] is torch.int8:
            x, scale, *integers, _ = node.args
            node.args = (x, scale, *(value + 128 for value in integers), torch.uint8)
    model.recompile()
    return model


def tidy(file: Path) -> None:
    """Drop the notes of PyTorch's default exporter, and give each weight its own zero point.

    The notes name the line of Python behind each node. With shared zero points, ONNX Runtime's
    session.x64quantprecision fails. The model computes the same as before.
    """
    model = onnx.load(file)
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        node.ClearField("metadata_props")
        if node.op_type == "DequantizeLinear" and node.input[0] in weights and node.input[2:]:
            own = onnx.TensorProto()
            own.CopyFrom(weights[node.input[2]])
            own.name = node.input[2] = f"{node.output[0]}_zero_point"
            model.graph.initializer.append(own)
    for part in (model, model.graph, *model.graph.value_info, *model.graph.initializer):
        part.ClearField("metadata_props")
    onnx.save(model, file)


# Parameters: (scale, zero point) of activations, (scale,) of each channel of a weight


def converted_parameters(prepared: nn.Module, converted: nn.Module) -> set[tuple]:
    """Return the parameters of an eager or FX model, from its observers and its int8 layers."""
    observers = [m for m in prepared.modules() if isinstance(m, ObserverBase)]
    found = {(s.item(), z.item()) for s, z in (m.calculate_qparams() for m in observers)}
    for layer in converted.modules():
        if isinstance(layer, WeightedQuantizedModule):
            found |= {(s,) for s in layer.weight().q_per_channel_scales().float().tolist()}
    return found


def exported_parameters(exported) -> set[tuple]:
    """Return the parameters of a PT2E model."""
    activations = activation_parameters(exported).values()
    found = {(float(np.float32(scale)), zero_point) for scale, zero_point, *_ in activations}
    return found | {(s,) for _, scales in integer_weights(exported) for s in scales.tolist()}


def onnx_parameters(file: Path) -> set[tuple]:
    """Return the parameters in a QDQ file; those of biases, in int32, are left out."""
    graph, values, found = onnx.load(file).graph, {}, set()
    for tensor in graph.initializer:
        values[tensor.name] = to_array(tensor)
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].HasField("t"):
            values[node.output[0]] = to_array(node.attribute[0].t)
        elif node.op_type == "Identity" and node.input[0] in values:
            values[node.output[0]] = values[node.input[0]]
        elif node.op_type == "QuantizeLinear":
            scale, zero_point = (values[name] for name in node.input[1:3])
            found.add((float(scale), int(zero_point)))
        elif node.op_type == "DequantizeLinear":
            integers = values.get(node.input[0])  # None for an activation
            if integers is not None and integers.dtype.itemsize == 1:
                found |= {(float(scale),) for scale in values[node.input[1]].flat}
    return found


# What one script leaves for another


def keep(file: Path, logits: np.ndarray, scale: float, parameters: set[tuple]) -> None:
    """Save, beside an ONNX file, what its source in PyTorch computes and holds."""
    np.save(file.with_suffix(".npy"), logits)
    kept = {"scale": float(scale), "parameters": sorted(parameters)}
    file.with_suffix(".json").write_text(json.dumps(kept))


def kept(file: Path) -> tuple[np.ndarray, float, set[tuple]]:
    """Return logits, their scale, and the parameters, as `keep` was given them."""
    found = json.loads(file.with_suffix(".json").read_text())
    logits = np.load(file.with_suffix(".npy"))
    return logits, found["scale"], {tuple(p) for p in found["parameters"]}
