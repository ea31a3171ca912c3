"""A quantized ONNX file (QDQ) to PT2E: the same operators, parameters and integer weights.

For convolutional networks of one input and one output, as torch.onnx.export writes them. What it
does not know is a ValueError with the operator and the name of the node.
Source: the ONNX operators of these names; quantized_decomposed of PyTorch.
"""

import onnx
import torch
from torch import nn
from torch.nn import functional as F

from handbook.export import OPS


def onnx_to_pt2e(path, example_inputs, dynamic_shapes=None) -> torch.fx.GraphModule:
    """Return the PT2E model of a QDQ file: float32 images (N, C, H, W) to dequantized logits.

    `dynamic_shapes` is that of torch.export.export. Raises ValueError for unknown operators, for
    padding that differs from side to side, and for activations with a scale for each channel.
    """
    module = _Qdq(onnx.load(path).graph)
    return torch.export.export(module, example_inputs, dynamic_shapes=dynamic_shapes).module()


class _Qdq(nn.Module):
    """Runs an ONNX graph, with a method for each operator that it knows."""

    def __init__(self, graph):
        super().__init__()
        for node in graph.node:
            if not hasattr(_Qdq, node.op_type) or node.op_type in dir(nn.Module):
                raise ValueError(f"{node.op_type} {node.name!r} cannot be carried over")
        self.graph, self.constants = graph, {}
        for entry in graph.initializer:
            value = torch.from_numpy(onnx.numpy_helper.to_array(entry).copy())
            self.constants[entry.name] = value
            if value.ndim:  # numbers become arguments of the operations
                self.register_buffer(entry.name.replace(".", "_"), value)

    def forward(self, images):
        values = {self.graph.input[0].name: images}
        for node in self.graph.node:
            inputs = [
                values[name]
                if name in values
                else getattr(self, name.replace(".", "_"), self.constants[name])
                for name in node.input
            ]
            options = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
            values[node.output[0]] = getattr(self, node.op_type)(node, *inputs, **options)
        return values[self.graph.output[0].name]

    def _limits(self, node):
        """Return scale, zero point, limits and type of a tensor that has one scale."""
        scale, zero_point = (self.constants[name] for name in node.input[1:])
        if scale.ndim:
            raise ValueError(f"{node.op_type} {node.name!r}: a scale for each channel")
        integers = torch.iinfo(zero_point.dtype)
        return scale.item(), zero_point.item(), integers.min, integers.max, zero_point.dtype

    def QuantizeLinear(self, node, x, scale, zero_point, axis=1):
        return OPS.quantize_per_tensor(x, *self._limits(node))

    def DequantizeLinear(self, node, x, scale, zero_point, axis=1):
        if node.input[0] in self.constants and scale.ndim:  # a weight
            return OPS.dequantize_per_channel(x, scale, zero_point, axis, -128, 127, torch.int8)
        return OPS.dequantize_per_tensor(x, *self._limits(node))

    def Conv(self, node, x, weight, bias=None, *, strides, pads, dilations, group, **_):
        if pads[:2] != pads[2:]:
            raise ValueError(f"Conv {node.name!r}: its padding differs from side to side")
        return F.conv2d(x, weight, bias, strides, pads[:2], dilations, group)

    def Gemm(self, node, x, weight, bias=None, alpha=1.0, beta=1.0, transA=0, transB=0):
        if (alpha, beta, transA, transB) != (1, 1, 0, 1):
            raise ValueError(f"Gemm {node.name!r}: not a linear layer")
        return F.linear(x, weight, bias)

    def Relu(self, node, x):
        return F.relu(x)

    def Add(self, node, a, b):
        return a + b

    def Concat(self, node, *parts, axis):
        return torch.cat(parts, axis)

    def ReduceMean(self, node, x, axes, keepdims=1, **_):
        return x.mean(self.constants[node.input[1]].tolist(), keepdim=bool(keepdims))
