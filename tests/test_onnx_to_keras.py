"""handbook.onnx_to_keras agrees with PyTorch on architectures, and with the tests of ONNX.

Each check fails on a planted fault: the last tests plant them.
"""

import ast
import collections
import functools
import io
import logging
import re
import warnings
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx.backend.test.case.node import collect_testcases
from torch import nn
from torch.nn import functional as F

from handbook import onnx_to_keras as module
from handbook.keras_twin import keras as keras3
from handbook.onnx_layers import Layers, nhwc
from handbook.onnx_to_keras import NUMBERS, ONE_LAYER, WEIGHTED, Converter, onnx_to_keras
from handbook.running_example import RunningExample, conv_bn, depthwise, sequential
from handbook.tflite import quiet

with quiet():
    import tf_keras

DATA = Path(onnx.__file__).parent / "backend" / "test" / "data"
TOLERANCE = 1e-4
pytestmark = [
    pytest.mark.filterwarnings("ignore:`isinstance.treespec, LeafSpec.` is deprecated"),  # torch's
    pytest.mark.filterwarnings("ignore:Saving ONNX model to a BytesIO object is deprecated"),
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword"),
]
both = pytest.mark.parametrize("keras", [keras3, tf_keras], ids=["keras", "tf_keras"])


class Plain(nn.Sequential):
    """Odd sizes, strides and paddings of every kind; dilated, grouped, depthwise."""

    def __init__(self):
        super().__init__(
            nn.Conv2d(3, 8, 5, stride=3, padding=(1, 2)),
            nn.LeakyReLU(0.1),
            nn.Conv2d(8, 12, (3, 2), stride=(2, 1), padding=(2, 0), bias=False),
            nn.Sigmoid(),
            nn.Conv2d(12, 12, 3, padding=2, dilation=2),
            nn.Conv2d(12, 12, 3, stride=2, padding=3, dilation=2),
            nn.Tanh(),
            nn.Conv2d(12, 24, 3, stride=(2, 1), padding=1, groups=12),
            nn.PReLU(24),
            nn.ZeroPad2d((1, 0, 2, 1)),
            nn.Conv2d(24, 6, 1, stride=2),
        )


class ResNet(nn.Module):
    """A stem with max pooling, a residual block, and one with a projection."""

    def __init__(self):
        super().__init__()
        self.stem = sequential(conv=conv_bn(3, 16, 7, stride=2), pool=nn.MaxPool2d(3, 2, 1))
        self.a = sequential(one=conv_bn(16, 16, 3), two=conv_bn(16, 16, 3, relu=False))
        self.b = sequential(one=conv_bn(16, 32, 3, stride=2), two=conv_bn(32, 32, 3, relu=False))
        self.project, self.linear = conv_bn(16, 32, stride=2, relu=False), nn.Linear(32, 10)

    def forward(self, x):
        x = self.stem(x)
        x = F.relu(x + self.a(x))
        x = F.relu(self.b(x) + self.project(x))
        return self.linear(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1))


class MobileNetV2(nn.Module):
    """ReLU6, depthwise convolutions, an inverted residual."""

    def __init__(self):
        super().__init__()
        self.stem, self.expand = conv_bn(3, 8, 3, False, stride=2), conv_bn(8, 48, relu=False)
        self.depthwise = conv_bn(48, 48, 3, relu=False, groups=48)
        self.project, self.down = conv_bn(48, 8, relu=False), depthwise(8, stride=2)
        self.classifier = sequential(dropout=nn.Dropout(0.2), linear=nn.Linear(8, 10))

    def forward(self, x):
        x = F.relu6(self.stem(x))
        x = self.down(x + self.project(F.relu6(self.depthwise(F.relu6(self.expand(x))))))
        return self.classifier(x.mean([2, 3])).softmax(1)


class MobileNetV3(nn.Module):
    """Hard swish, and squeeze-and-excite with a hard sigmoid."""

    def __init__(self):
        super().__init__()
        self.stem = conv_bn(3, 16, 3, relu=False, stride=2)
        self.depthwise = conv_bn(16, 16, 5, relu=False, groups=16, stride=2)
        self.squeeze, self.excite = nn.Conv2d(16, 4, 1), nn.Conv2d(4, 16, 1)
        self.project, self.linear = conv_bn(16, 24, relu=False), nn.Linear(24, 10)

    def forward(self, x):
        x = F.hardswish(self.depthwise(F.hardswish(self.stem(x))))
        gate = self.excite(F.relu(self.squeeze(F.adaptive_avg_pool2d(x, 1))))
        x = self.project(x * F.hardsigmoid(gate))
        return self.linear(F.hardswish(x).mean((2, 3)))


class Branches(nn.Module):
    """Concatenations as in GoogLeNet and DenseNet, of branches with pooling."""

    def __init__(self):
        super().__init__()
        self.stem, self.one, self.three = conv_bn(3, 8, 3), conv_bn(8, 6), conv_bn(8, 6, 3)
        self.five = sequential(reduce=conv_bn(8, 4), conv=conv_bn(4, 6, 5))
        self.pooled = sequential(pool=nn.MaxPool2d(3, 1, 1), conv=conv_bn(8, 6))
        self.bn, self.dense, self.last = nn.BatchNorm2d(24), conv_bn(24, 12, 3), conv_bn(36, 8)
        self.linear = nn.Linear(8, 10)

    def forward(self, x):
        x = self.stem(x)
        x = torch.cat([self.one(x), self.three(x), self.five(x), self.pooled(x)], 1)
        x = F.avg_pool2d(torch.cat([x, self.dense(F.relu(self.bn(x)))], 1), 2)
        return self.linear(self.last(x).mean((2, 3)))


class VGG(nn.Sequential):
    """A flattened map: the linear layer depends on the order of channels, rows and columns."""

    def __init__(self):
        super().__init__(
            sequential(conv=nn.Conv2d(3, 8, 3, padding=1), relu=nn.ReLU(), pool=nn.MaxPool2d(2)),
            sequential(conv=nn.Conv2d(8, 6, 3, padding=1), pool=nn.MaxPool2d(2, ceil_mode=True)),
            nn.Flatten(),
            sequential(linear=nn.Linear(6 * 9 * 7, 32), relu=nn.ReLU(), dropout=nn.Dropout()),
            nn.Linear(32, 10),
        )


class ShuffleNet(nn.Module):
    """Grouped convolutions and shuffled channels (version 1), split channels (version 2)."""

    def __init__(self):
        super().__init__()
        self.stem, self.grouped = conv_bn(3, 12, 3, stride=2), conv_bn(12, 12, groups=3)
        self.depthwise, self.two = depthwise(12, stride=2), conv_bn(6, 6, 3, groups=2)
        self.linear = nn.Linear(12, 10)

    def shuffle(self, x, groups):
        n, c, h, w = x.shape
        return x.view(n, groups, c // groups, h, w).transpose(1, 2).reshape(n, c, h, w)

    def forward(self, x):
        x = self.depthwise(self.shuffle(self.grouped(self.stem(x)), 3))
        left, right = x.chunk(2, dim=1)
        x = self.shuffle(torch.cat([left, self.two(right)], dim=1), 2)
        return self.linear(x.mean((2, 3)))


class UNet(nn.Module):
    """Down and up again three ways, skipping; the result is an image."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = conv_bn(3, 8, 3), conv_bn(8, 12, 3), conv_bn(12, 12, 3)
        self.up = nn.ConvTranspose2d(12, 12, 3, stride=2, padding=1, output_padding=1)
        self.d, self.e = conv_bn(24, 8, 3), nn.Conv2d(16, 2, 1)

    def forward(self, x):
        a = self.a(x)
        b = self.b(F.max_pool2d(a, 2))
        c = self.up(self.c(F.max_pool2d(b, 2)))
        c = F.pad(c, (0, b.shape[3] - c.shape[3], 0, b.shape[2] - c.shape[2]))
        x = F.interpolate(self.d(torch.cat([b, c], 1)), scale_factor=2, mode="bilinear")
        small = F.interpolate(F.max_pool2d(x, 3, 3), scale_factor=3.0, mode="nearest")
        x = F.pad(x, (1, 0, 0, 0), mode="replicate")[:, :, : small.shape[2], : small.shape[3]]
        return self.e(torch.cat([x + small, x], 1))


class Pooling(nn.Module):
    """Average and maximum with ceil_mode, count_include_pad and padding, of any sign."""

    def forward(self, x):
        pools = [
            F.avg_pool2d(x, 3, 2, 1, ceil_mode=True, count_include_pad=False),
            F.avg_pool2d(x, 3, 2, 1, ceil_mode=True, count_include_pad=True),
            F.avg_pool2d(x, (3, 2), 2, (1, 0), ceil_mode=True),
            F.max_pool2d(x - 5, 3, 2, 1, ceil_mode=True),
            F.max_pool2d(x.relu(), 3, 2, 1, ceil_mode=True),
            F.avg_pool2d(x, 5, 3, 2, ceil_mode=True)[:, :, :2, :2],
            F.max_pool2d(x - 5, 5, 4, 2, ceil_mode=False)[:, :, :2, :2],
            F.max_pool2d(-x.relu(), 3, 3, ceil_mode=True)[:, :, 4:, 5:],
        ]
        flat = [torch.flatten(pool, 1) for pool in pools]
        return torch.cat(flat, 1)


ARCHITECTURES = {
    Plain: (35, 41),
    ResNet: (40, 32),
    MobileNetV2: (33, 32),
    MobileNetV3: (32, 33),
    Branches: (20, 18),
    VGG: (36, 27),
    ShuffleNet: (24, 26),
    UNet: (28, 28),
    Pooling: (14, 15),
    RunningExample: (28, 28),
}


@functools.cache
def exported(architecture, **options):
    """An ONNX model of random weights; statistics of batch normalization are random as well."""
    torch.manual_seed(0)
    model = architecture().eval()
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for name, low in (("weight", 0.5), ("bias", -1), ("running_mean", -1)):
                getattr(layer, name).data.uniform_(low, 1)
            layer.running_var.uniform_(0.5, 2)
    channels = 1 if architecture is RunningExample else 3
    images = torch.randn(2, channels, *ARCHITECTURES[architecture])
    if options.get("dynamo", True):
        options["dynamic_shapes"] = ({0: torch.export.Dim("batch")},)
    else:
        options |= {"input_names": ["x"], "dynamic_axes": {"x": {0: "batch"}}}
    file = io.BytesIO()
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # torchvision is missing
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # notices of deprecation
        torch.onnx.export(model, (images,), file, verbose=False, **options)
    return model, onnx.load_model_from_string(file.getvalue())


def difference(architecture, converted, model):
    """From PyTorch, for other images than the converter's own check, and another number of them."""
    channels = 1 if architecture is RunningExample else 3
    images = torch.randn(3, channels, *ARCHITECTURES[architecture], generator=torch.manual_seed(1))
    with torch.no_grad():
        expected = nhwc(model(images).numpy())
    result = converted(nhwc(images.numpy())).numpy()
    assert result.shape == expected.shape
    return np.abs(result - expected).max()


@both
@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=lambda a: a.__name__)
def test_architectures(architecture, keras, tmp_path):
    model, onnx_model = exported(architecture)
    converted = onnx_to_keras(onnx_model, keras)
    assert difference(architecture, converted, model) < TOLERANCE
    converted.save(tmp_path / "model.keras")
    reloaded = keras.models.load_model(tmp_path / "model.keras")
    assert difference(architecture, reloaded, model) < TOLERANCE
    native = {name for name in dir(keras.layers) if name != "Lambda"}
    assert {type(layer).__name__ for layer in converted.layers} <= native


def test_resize_to_any_size():
    module = nn.Upsample(size=(20, 23), mode="bilinear").eval()
    file = io.BytesIO()
    torch.onnx.export(module, (torch.randn(1, 3, 11, 7),), file, verbose=False)
    assert onnx_to_keras(onnx.load_model_from_string(file.getvalue())).output_shape[1:3] == (20, 23)


def test_other_exports():
    """The TorchScript exporter; and batch normalization that is not folded, with its layers."""
    for options in ({"dynamo": False, "opset_version": 13}, {"optimize": False}):
        model, onnx_model = exported(ResNet, **options)
        assert difference(ResNet, onnx_to_keras(onnx_model), model) < TOLERANCE
    converted = onnx_to_keras(onnx_model, tf_keras)
    assert sum(isinstance(x, tf_keras.layers.BatchNormalization) for x in converted.layers) == 6
    assert difference(ResNet, converted, model) < TOLERANCE


def test_layers_are_named_as_the_weights():
    names = {layer.name for layer in onnx_to_keras(exported(ResNet)[1]).layers}
    assert {"stem.conv.conv", "a.one.conv", "project.conv", "linear"} <= names


# What others wrote: the tests of ONNX, with their inputs and the outputs that they expect.


def result(model, inputs):
    with quiet():
        converted = onnx_to_keras(model)
        arrays = [nhwc(x) for x in inputs]
        outputs = converted(arrays if len(arrays) > 1 else arrays[0])
    return outputs.numpy() if hasattr(outputs, "numpy") else outputs[0].numpy()


def agrees(model, inputs, expected):
    """Whether the converted model gives `expected`; False if the converter refuses the model."""
    node = model.graph.node[0]
    try:
        given = result(model, inputs)
    except ValueError as refused:
        assert re.match(rf"{node.op_type} '\w+': |input '\w+' is not float32", str(refused))
        return False
    np.testing.assert_allclose(given, nhwc(expected), rtol=1e-3, atol=1e-5)  # ONNX's rtol
    return True


@functools.cache
def node_tests():
    """Tests of one node each, whose operator is covered: name, model, inputs, expected output.

    Where an operator has weights, or numbers, all inputs but the first become constants.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cases = [case for case in collect_testcases(None) if case.model]
    found = []
    for case in cases:
        graph, [(inputs, outputs), *_] = case.model.graph, case.data_sets
        operator = graph.node[0].op_type
        covered = operator in ONE_LAYER or hasattr(Converter, operator)
        first = [*inputs[:1], *outputs[:1]]
        both_float = [getattr(x, "dtype", None) for x in first] == [np.float32, np.float32]
        if len(graph.node) == 1 and covered and both_float and inputs[0].size:
            model = onnx.ModelProto()
            model.CopyFrom(case.model)
            if operator in WEIGHTED or operator in NUMBERS:
                names = [entry.name for entry in graph.input]
                del model.graph.input[1:]
                for name, x in zip(names[1:], inputs[1:], strict=True):
                    model.graph.initializer.append(onnx.numpy_helper.from_array(x, name))
                inputs = inputs[:1]
            found.append((case.name, model, inputs, outputs[0]))
    return found


# How many of ONNX's tests pass; all others are refused. Of these most are of one or three spatial
# dimensions, move or split the batch, or have two activations where a layer has weights.
PASS = {
    "Add": "1 of 2",
    "AveragePool": "12 of 20",
    "BatchNormalization": "2 of 4",
    "Clip": "6 of 9",
    "Concat": "12 of 12",
    "Conv": "6 of 6",
    "ConvTranspose": "3 of 11",
    "Div": "0 of 3",
    "Dropout": "5 of 12",
    "Flatten": "3 of 9",
    "Gemm": "8 of 11",
    "GlobalAveragePool": "2 of 2",
    "GlobalMaxPool": "2 of 2",
    "HardSigmoid": "3 of 3",
    "HardSwish": "1 of 1",
    "Identity": "2 of 2",
    "LeakyRelu": "3 of 3",
    "MatMul": "1 of 7",
    "MaxPool": "10 of 18",
    "Mul": "2 of 3",
    "PRelu": "1 of 2",
    "Pad": "0 of 3",
    "ReduceMean": "0 of 8",
    "Relu": "1 of 1",
    "Reshape": "6 of 9",
    "Resize": "5 of 39",
    "Sigmoid": "2 of 2",
    "Slice": "0 of 8",
    "Softmax": "7 of 7",
    "Split": "0 of 14",
    "Squeeze": "1 of 2",
    "Sub": "2 of 3",
    "Sum": "3 of 3",
    "Tanh": "2 of 2",
    "Transpose": "2 of 7",
    "Unsqueeze": "6 of 7",
}


def test_node_tests_of_onnx():
    passed, total = collections.Counter(), collections.Counter()
    for _, model, inputs, expected in node_tests():
        operator = model.graph.node[0].op_type
        total[operator] += 1
        passed[operator] += agrees(model, inputs, expected)
    assert {operator: f"{passed[operator]} of {n}" for operator, n in sorted(total.items())} == PASS


def tensor(path):
    proto = onnx.TensorProto()
    proto.ParseFromString(path.read_bytes())
    return onnx.numpy_helper.to_array(proto)


FOLDERS = (DATA / "pytorch-converted").iterdir()  # of 2017; ONNX Runtime still runs these
COVERED = re.compile(r"test_(Conv2d|ConvTranspose2d|MaxPool2d|\w+Pad2d|(Leaky)?ReLU|Softmax)")
CONVERTED = sorted(path for path in FOLDERS if COVERED.match(path.name))
REFUSED = {
    "test_ConstantPad2d": "Pad '1': [[0, 0], [0, 0], [3, 4], [1, 2]] with 2.0 is not known",
    "test_MaxPool2d_stride_padding_dilation": "MaxPool 'Y': dilations are not known",
}


@pytest.mark.parametrize("folder", CONVERTED, ids=lambda path: path.name)
def test_models_converted_from_pytorch(folder):
    model, data = onnx.load(folder / "model.onnx"), folder / "test_data_set_0"
    inputs, expected = [tensor(data / "input_0.pb")], tensor(data / "output_0.pb")
    if folder.name in REFUSED:
        with pytest.raises(ValueError, match=re.escape(REFUSED[folder.name])):
            onnx_to_keras(model)
    else:
        assert agrees(model, inputs, expected)


@pytest.mark.parametrize("name", ["shufflenet", "inception_v2"])
def test_whole_networks_of_onnx(name):
    model = onnx.load(DATA / "light" / f"light_{name}.onnx")
    converted = onnx_to_keras(model)
    assert len(converted.layers) > 100


def test_the_converter_is_short():
    """At most 250 lines, without blank ones, comments and docstrings."""
    tree = ast.parse(source := Path(module.__file__).read_text())
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    docstrings = [n.body[0] for n in ast.walk(tree) if isinstance(n, documented)]
    docstrings = [n for n in docstrings if isinstance(n, ast.Expr)]
    prose = {i for n in docstrings for i in range(n.lineno, n.end_lineno + 1)}
    lines = [line.strip() for i, line in enumerate(source.splitlines(), 1) if i not in prose]
    assert 200 < sum(bool(line) and not line.startswith("#") for line in lines) <= 250


# Refusals, and planted faults


def onnx_model(text):
    return onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 18]> {text}')


@pytest.mark.parametrize(
    "text, message",
    [
        (
            "g (float[N, 4, 8, 8] x) => (float[N, 4, 8, 8] y) { [odd] y = Erf(x) }",
            "Erf 'odd': no Keras layer is known for this operator",
        ),
        (
            "g (float[N, 4, 8, 8] x) => (float[N, 4, 8, 8] y) { y = Celu(x) }",
            "Celu 'y': no Keras layer is known for this operator",
        ),
        (
            "g (float[N, 4, 8, W] x) => (float[N, 4, 8, W] y) { y = Relu(x) }",
            "input 'x' is not float32 of a fixed size: [0, 4, 8, 0]",
        ),
        (
            "g (float[N, 4] x, float[4, 4] w) => (float[N, 4] y) { [two] y = MatMul(x, w) }",
            "MatMul 'two': not an activation and constant weights",
        ),
    ],
)
def test_refuses_by_operator_and_name(text, message):
    with pytest.raises(ValueError) as raised:
        onnx_to_keras(onnx_model(text))
    assert str(raised.value) == message


def test_ignores_what_no_output_needs():
    text = "g (float[N, 4] x) => (float[N, 4] y) { z = Erf(x)  y = Relu(x) }"
    assert len(onnx_to_keras(onnx_model(text)).layers) == 2


def test_refuses_channels_first():
    keras3.backend.set_image_data_format("channels_first")
    try:
        with pytest.raises(ValueError, match="set_image_data_format"):
            onnx_to_keras(exported(ResNet)[1])
    finally:
        keras3.backend.set_image_data_format("channels_last")


def wrong_same(self, kernel, dilated=False):
    """PyTorch's padding of 1 taken for Keras' "same", as in many a port."""
    strides, dilations, pads, _ = right_window(self, kernel, dilated)
    return strides, dilations, pads, bool(np.any(pads))


def wrong_zeros(self, x, pads, mode="constant"):
    return right_pad(self, x, pads)


def wrong_order(self, x, order):
    return x if len(order) == 4 and order == (0, 3, 1, 2) else right_permute(self, x, order)


right_window, right_pad, right_permute = Layers.window, Layers.pad, Layers.permute
right_layer = Layers.layer


def wrong_kernel(self, kind, x, weights=(), part="", **options):
    weights = [w * 1.1 for w in weights] if kind == "Dense" else weights
    return right_layer(self, kind, x, weights, part, **options)


@pytest.mark.parametrize(
    "architecture, method, fault, message",
    [
        (ResNet, "window", wrong_same, "^Conv '"),
        (Pooling, "pad", wrong_zeros, "^MaxPool '"),
        (UNet, "pad", wrong_zeros, "^Pad '"),
        (MobileNetV2, "layer", wrong_kernel, "^Gemm '"),
        (Pooling, "affine", lambda self, x, *_, **__: x, "'node_"),
    ],
)
def test_a_planted_fault_is_named(architecture, method, fault, message, monkeypatch):
    monkeypatch.setattr(Layers, method, fault)
    with pytest.raises(ValueError, match=message) as raised:
        onnx_to_keras(exported(architecture)[1])
    assert "from ONNX Runtime, more than 0.0001" in str(raised.value)


def test_the_order_of_channels_is_seen(monkeypatch):
    """A reshape without the permutation has the right shape and the wrong numbers."""
    monkeypatch.setattr(Layers, "permute", wrong_order)
    with pytest.raises(ValueError, match=r"^(Reshape|Flatten) '"):
        onnx_to_keras(exported(VGG)[1])


def test_a_wrong_weight_is_seen_by_the_comparison():
    """The tests' own comparison, apart from that of the converter."""
    model, onnx_model = exported(RunningExample)
    converted = onnx_to_keras(onnx_model)
    layer = converted.get_layer("classifier")
    kernel, bias = layer.get_weights()
    layer.set_weights([kernel + 0.01, bias])
    assert difference(RunningExample, converted, model) > TOLERANCE


def test_a_wrong_expectation_is_seen():
    _, model, inputs, expected = next(case for case in node_tests() if case[0] == "test_relu")
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        agrees(model, inputs, expected + 0.01)
