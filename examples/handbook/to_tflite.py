"""PT2E models on their way to TFLite, and what arrived in the file.

For int8 models of one input and one output, whose images are NHWC in TFLite. An exported model is
what convert_pt2e, or handbook.export, returns. Functions return new models.
Source: litert_torch and the schema of .tflite files.
"""

import copy
import operator
from pathlib import Path

import numpy as np
import torch

from handbook.export import DEQUANTIZE, OPS, QUANTIZE, activation_parameters
from handbook.measure import file_size_kib
from handbook.tflite import quiet, read_tflite, run_tflite
from handbook.tflite_kinds import tflite_kinds

DEQUANTIZE_WEIGHT = OPS.dequantize_per_channel.default
QUANTIZE_WEIGHT = OPS.quantize_per_channel.default
LAYERS = (torch.ops.aten.conv2d.default, torch.ops.aten.linear.default)
WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
MOVES = ("PAD", "RESHAPE", "TRANSPOSE", "CONCATENATION")  # their outputs have their inputs' scale


# The model before the conversion


def unfold_weights(exported) -> torch.fx.GraphModule:
    """Return the model with float weights and quantize operations, which LiteRT Torch wants.

    The float weights are the dequantized int8 ones, multiples of their scale: whoever quantizes
    them again finds the same integers. Those of convert_pt2e(fold_quantize=False) are the original
    ones, and some lie half-way between two integers, where two implementations round apart.
    """
    model = copy.deepcopy(exported)
    for node in list(model.graph.nodes):
        if node.target is DEQUANTIZE_WEIGHT and node.args[0].op == "get_attr":
            tensors = [operator.attrgetter(x.target)(model) for x in node.args[:3]]
            name = node.args[0].target.replace(".", "_") + "_float"
            model.register_buffer(name, OPS.dequantize_per_channel(*tensors, *node.args[3:]))
            with model.graph.inserting_before(node):
                weight = model.graph.get_attr(name)
                integers = model.graph.call_function(
                    QUANTIZE_WEIGHT, (weight, *node.args[1:]), dict(node.kwargs)
                )
            node.replace_input_with(node.args[0], integers)
    model.graph.eliminate_dead_code()
    model.recompile()
    return model


def round_biases(exported) -> torch.fx.GraphModule:
    """Return the model with biases that int32 holds exactly: multiples of input x weight scale.

    PyTorch adds a float bias; TFLite and ONNX Runtime store it in int32 with that scale. Expects
    folded weights and layers between dequantize and quantize operations.
    """
    model = copy.deepcopy(exported)
    for node, step in _biases(model):
        bias = operator.attrgetter(node.args[2].target)(model)
        bias.data.copy_(torch.round(bias.double() / step) * step)
    return model


def biases(exported) -> list[torch.Tensor]:
    """Return the bias of each layer, in the graph's order."""
    return [
        operator.attrgetter(node.args[2].target)(exported).detach() for node, _ in _biases(exported)
    ]


def bias_errors(exported) -> list[float]:
    """Return, of each layer, the largest error of an int32 bias in LSB of the layer's output."""
    found = []
    for node, step in _biases(exported):
        bias = operator.attrgetter(node.args[2].target)(exported).detach().double()
        output = node
        while output.target is not QUANTIZE:  # perhaps behind a ReLU
            output = next(iter(output.users))
        error = (torch.round(bias / step) * step - bias).abs().max()
        found.append(float(error / output.args[1]))
    return found


def _biases(model):
    """Yield each layer's node and the step, float64 (channels,), of its int32 bias."""
    for node in [node for node in model.graph.nodes if node.target in LAYERS]:
        x, weight = node.args[:2]
        while x.target is not DEQUANTIZE:  # a pad or a permutation may stand between
            x = x.args[0]
        scale = operator.attrgetter(weight.args[1].target)(model).double()
        yield node, x.args[1] * scale


# The file


def to_input(path, images: np.ndarray) -> np.ndarray:
    """Return float32 images (N, C, H, W) as the file wants them: NHWC, and int8 if it is."""
    images = np.ascontiguousarray(images.transpose(0, 2, 3, 1))
    scale, zero_point = _quantization(path)[0]
    if not scale:
        return images
    integers = np.rint(images / np.float32(scale)) + zero_point
    return np.clip(integers, -128, 127).astype(np.int8)


def run(path, images: np.ndarray) -> np.ndarray:
    """Return the float32 logits of the file for float32 images (N, C, H, W)."""
    outputs, (scale, zero_point) = run_tflite(path, to_input(path, images)), _quantization(path)[1]
    if not scale:
        return outputs
    return (outputs.astype(np.float32) - np.float32(zero_point)) * np.float32(scale)


def call(path, images: np.ndarray):
    """Return a function of no argument that runs the file on `images` at once, on one thread."""
    from ai_edge_litert.interpreter import Interpreter

    inputs = to_input(path, images)
    with quiet():  # XNNPACK announces itself
        interpreter = Interpreter(str(path), num_threads=1)
        index = interpreter.get_input_details()[0]["index"]
        interpreter.resize_tensor_input(index, inputs.shape)
        interpreter.allocate_tensors()
    output = interpreter.get_output_details()[0]["index"]

    def invoke():
        interpreter.set_tensor(index, inputs)
        interpreter.invoke()
        return interpreter.get_tensor(output)

    return invoke


def columns(path) -> dict:
    """Return the columns of handbook.conversions that describe the file: operators and size."""
    kinds = tflite_kinds(Path(path).read_bytes(), dynamic=False)
    counts = {"integer operators": kinds.count("int8"), "float operators": kinds.count("float")}
    return counts | {"size KiB": file_size_kib(path)}


def equal_parameters(exported, path) -> tuple[int, int]:
    """Return how many parameters of a PT2E model (weights folded) the file has, and of how many.

    Scale and zero point of each activation that is not a concatenation, the scale of each channel
    and each integer weight are counted. Scales are float32 in the file. Both follow the order of
    the graph; models of different length are a ValueError.
    """
    activations = [
        parameters[:2]
        for name, parameters in activation_parameters(exported).items()
        if not name.startswith("cat")
    ]
    file = read_tflite(path)
    tensors = [file[0].inputs[0], *(op.output for op in file if op.name not in MOVES)]
    in_file = [(tensor.scale, tensor.zero_point) for tensor in tensors]
    pairs = zip(activations, in_file, strict=True)
    compared = [(np.float32(a[0]) == b[0], a[1] == b[1]) for a, b in pairs]
    layers = [node for node in exported.graph.nodes if node.target in LAYERS]
    weighted = [op for op in file if op.name in WEIGHTED]
    for op, layer in zip(weighted, layers, strict=True):
        stored = layer.args[1].args[:2]  # of its dequantize operation
        weight, scale = (operator.attrgetter(x.target)(exported) for x in stored)
        order = {2: (0, 1), 4: (1, 2, 3, 0) if op.name.startswith("DEPTHWISE") else (0, 2, 3, 1)}
        weight = weight.numpy().transpose(order[weight.ndim])
        compared += [op.inputs[1].data == weight, op.inputs[1].scale == scale.numpy()]
    same = np.concatenate([np.ravel(x) for x in compared])
    return int(same.sum()), same.size


def output_scale(path) -> float:
    """Return the scale of the file's int8 logits."""
    return float(_quantization(path)[1][0])


def _quantization(path) -> list[tuple[float, int]]:
    """Return scale and zero point of the file's input and output; the scale is 0 for float."""
    from ai_edge_litert.interpreter import Interpreter

    with quiet():
        interpreter = Interpreter(str(path), num_threads=1)
    ends = interpreter.get_input_details() + interpreter.get_output_details()
    return [end["quantization"] for end in ends]
