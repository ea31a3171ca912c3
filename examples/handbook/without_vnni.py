"""A quantized ONNX model as an x86 CPU without VNNI computes it, on any CPU.

There the instruction VPMADDUBSW adds two products of uint8 and int8 in 16 bits, and clamps. NumPy
does so for the layers without groups; every other node runs in ONNX Runtime, by itself. See
affine/saturation.py, which holds these sums to the kernels' own outputs, layer by layer.
"""

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

from handbook.reference import requantize


def run_without_vnni(path, images: np.ndarray, saturate: bool = True) -> np.ndarray:
    """Return the output of a model with uint8 activations and int8 weights, quantized statically.

    `images` is its only input. With `saturate` false the sums are exact, as with VNNI.
    """
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(path.with_name("fused.onnx"))
    onnxruntime.InferenceSession(path, options)
    model = onnx.load(options.optimized_model_filepath)
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    values = {name: numpy_helper.to_array(tensor) for name, tensor in constants.items()}
    values[model.graph.input[0].name] = images
    for node in model.graph.node:
        given = {each.name: helper.get_attribute_value(each) for each in node.attribute}
        if node.op_type == "QLinearConv" and given.get("group", 1) == 1:
            y = _conv(*(values[name] for name in node.input), given, saturate)
        elif node.op_type == "QGemm":
            y = _gemm(*(values[name] for name in node.input), given, saturate)
        else:
            y = _alone(node, values, constants, model)
        values[node.output[0]] = y
    return values[model.graph.output[0].name]


def _sums(x, w, saturate):
    """The sums, int32 (rows, outputs), of uint8 (rows, K) and int8 (K, outputs)."""
    total = (x.astype(np.float64) @ w.astype(np.float64)).astype(np.int32)  # exact
    w = w.astype(np.int32)
    for k in range(0, len(w) - 1, 2) if saturate else ():
        # Only weights of one sign, whose sizes add up to more than 128, can leave the 16 bits.
        can = (np.abs(w[k] + w[k + 1]) > 128).nonzero()[0]
        if can.size:
            pair = x[:, k : k + 2].astype(np.int32) @ w[k : k + 2, can]
            total[:, can] += np.clip(pair, -(2**15), 2**15 - 1) - pair
    return total


def _conv(
    x, x_scale, x_zero_point, w, w_scale, w_zero_point, y_scale, y_zero_point, bias, given, saturate
):
    assert not w_zero_point.any()
    top, left, bottom, right = given.get("pads", (0, 0, 0, 0))
    vertical, horizontal = given.get("strides", (1, 1))
    pads = ((0, 0), (0, 0), (top, bottom), (left, right))
    x = np.pad(x, pads, constant_values=x_zero_point)
    windows = np.lib.stride_tricks.sliding_window_view(x, w.shape[2:], axis=(2, 3))
    # The kernels sum along height, width and channel.
    windows = windows[:, :, ::vertical, ::horizontal].transpose(0, 2, 3, 4, 5, 1)
    w = w.transpose(2, 3, 1, 0).reshape(-1, len(w))
    total = _sums(windows.reshape(-1, len(w)), w, saturate) + bias
    total -= int(x_zero_point) * w.sum(axis=0, dtype=np.int32)
    y = requantize(total, x_scale * w_scale / y_scale, y_zero_point, np.uint8)
    return y.reshape(*windows.shape[:3], -1).transpose(0, 3, 1, 2)


def _gemm(
    x, x_scale, x_zero_point, w, w_scale, w_zero_point, bias, y_scale, y_zero_point, given, saturate
):
    assert not w_zero_point.any()
    w = w.T if given.get("transB") else w
    total = _sums(x, w, saturate) + bias - int(x_zero_point) * w.sum(axis=0, dtype=np.int32)
    return requantize(total, x_scale * w_scale / y_scale, y_zero_point, np.uint8)


def _alone(node, values, constants, model):
    """Run one node in ONNX Runtime."""
    inputs = [name for name in dict.fromkeys(node.input) if name and name not in constants]
    types = {name: helper.np_dtype_to_tensor_dtype(values[name].dtype) for name in inputs}
    graph = helper.make_graph(
        [node],
        "node",
        [helper.make_tensor_value_info(name, kind, None) for name, kind in types.items()],
        [helper.make_empty_tensor_value_info(node.output[0])],
        [constants[name] for name in dict.fromkeys(node.input) if name in constants],
    )
    opsets, version = model.opset_import, model.ir_version
    alone = helper.make_model(graph, opset_imports=opsets, ir_version=version)
    session = onnxruntime.InferenceSession(alone.SerializeToString())
    return session.run(None, {name: np.ascontiguousarray(values[name]) for name in inputs})[0]
