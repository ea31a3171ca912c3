"""handbook.to_tflite and handbook.onnx_to_pt2e keep a quantized model's outputs and parameters."""

import operator
import warnings

import onnx
import pytest
import torch
from onnx import TensorProto, helper
from torch import nn
from torch.ao.quantization import get_default_qconfig_mapping
from torch.ao.quantization.quantize_fx import prepare_fx

from handbook import export, to_tflite
from handbook.onnx_to_pt2e import onnx_to_pt2e
from handbook.running_example import conv_bn, depthwise

ANY_BATCH = ({0: torch.export.Dim("batch")},)


class Small(nn.Module):
    """A residual, a concatenation, a mean and a linear layer."""

    def __init__(self):
        super().__init__()
        self.stem, self.depthwise = conv_bn(1, 8, 3, stride=2), depthwise(8)
        self.linear = nn.Linear(16, 10)

    def forward(self, x):
        x = self.stem(x)
        y = x + self.depthwise(x)
        return self.linear(torch.cat([x, y], 1).mean((2, 3)))


@pytest.fixture(scope="module")
def images():
    return torch.randn(20, 1, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def quantized(images):
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the deprecation notices of torch.ao.quantization
        mapping = get_default_qconfig_mapping("onednn")
        prepared = prepare_fx(Small().eval(), mapping, (images[:2],))
        prepared(images)
        return export.fx_prepared_to_pt2e(prepared, (images[:2],), ANY_BATCH)


def test_unfolded_weights_are_the_same_integers(quantized, images):
    unfolded = to_tflite.unfold_weights(quantized)
    assert torch.equal(unfolded(images), quantized(images))
    nodes = [n for n in unfolded.graph.nodes if n.target is to_tflite.QUANTIZE_WEIGHT]
    for node, (integers, _) in zip(nodes, export.integer_weights(quantized), strict=True):
        weight, scale, zero_point = (operator.attrgetter(x.target)(unfolded) for x in node.args[:3])
        assert weight.dtype == torch.float32
        found = export.OPS.quantize_per_channel(weight, scale, zero_point, *node.args[3:])
        assert torch.equal(found, integers)


def test_rounded_biases_are_held_by_int32_and_the_model_is_left_alone(quantized, images):
    before = [bias.clone() for bias in to_tflite.biases(quantized)]
    rounded = to_tflite.round_biases(quantized)
    assert max(to_tflite.bias_errors(rounded)) < 1e-4 < max(to_tflite.bias_errors(quantized))
    pairs = zip(before, to_tflite.biases(quantized), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    parameters = export.activation_parameters
    assert parameters(rounded) == parameters(quantized)


def test_a_qdq_file_becomes_the_same_pt2e_model(quantized, images, tmp_path):
    path = tmp_path / "model.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        options = {"dynamic_shapes": ANY_BATCH, "external_data": False, "verbose": False}
        torch.onnx.export(quantized, (images[:2],), path, **options)
    found = onnx_to_pt2e(path, (images[:2],), ANY_BATCH)
    assert torch.equal(found(images), quantized(images))
    values = [list(export.activation_parameters(m).values()) for m in (found, quantized)]
    assert values[0] == values[1]


def test_what_it_does_not_know_is_refused(tmp_path):
    path = tmp_path / "model.onnx"
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 1, 4, 4]) for n in "xy"]
    node = helper.make_node("HardSwish", ["x"], ["y"], name="last")
    onnx.save(helper.make_model(helper.make_graph([node], "g", ends[:1], ends[1:])), path)
    with pytest.raises(ValueError, match="HardSwish 'last' cannot be carried over"):
        onnx_to_pt2e(path, (torch.zeros(1, 1, 4, 4),))
    weight = onnx.numpy_helper.from_array(torch.zeros(1, 1, 2, 2).numpy(), "w")
    bias = onnx.numpy_helper.from_array(torch.zeros(1).numpy(), "b")
    options = {"strides": [1, 1], "dilations": [1, 1], "group": 1, "pads": [0, 0, 1, 1]}
    node = helper.make_node("Conv", ["x", "w", "b"], ["y"], name="uneven", **options)
    graph = helper.make_graph([node], "g", ends[:1], ends[1:], [weight, bias])
    onnx.save(helper.make_model(graph), path)
    with pytest.raises(ValueError, match="Conv 'uneven': its padding differs"):
        onnx_to_pt2e(path, (torch.zeros(1, 1, 4, 4),))
