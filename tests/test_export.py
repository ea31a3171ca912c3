"""handbook.export carries FX models over to PT2E exactly, on networks of different structure.

Each check fails on a planted fault: the last tests plant them.
"""

import copy
import warnings

import pytest
import torch
from torch import nn
from torch.ao.quantization import get_default_qconfig_mapping
from torch.ao.quantization.quantize_fx import (
    _convert_to_reference_decomposed_fx,
    convert_fx,
    prepare_fx,
)

from handbook import export
from handbook.measure import has_int8_dot_product
from handbook.running_example import RunningExample, conv_bn, depthwise

# The deprecation notices of torch.ao.quantization, and of its tensor types.
pytestmark = pytest.mark.filterwarnings(
    "ignore:torch.ao.quant", "ignore:torch.quantize", "ignore:Please use"
)


class Plain(nn.Sequential):
    def __init__(self):
        layers = [nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3)]
        super().__init__(*layers, nn.Hardswish(), nn.Flatten(), nn.Linear(1152, 10))


class SharedReLU(nn.Module):
    """A residual block that calls one ReLU module three times."""

    def __init__(self):
        super().__init__()
        self.stem, self.relu = conv_bn(1, 8, 3, relu=False, stride=2), nn.ReLU()
        self.a, self.b = conv_bn(8, 8, 3, relu=False), conv_bn(8, 8, 3, relu=False)
        self.pool, self.linear = nn.AdaptiveAvgPool2d(1), nn.Linear(8, 10)

    def forward(self, x):
        x = self.relu(self.stem(x))
        x = self.relu(x + self.b(self.relu(self.a(x))))
        return self.linear(torch.flatten(self.pool(x), 1))


class Inverted(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.expand, self.depthwise = conv_bn(channels, 3 * channels), depthwise(3 * channels)
        self.project = conv_bn(3 * channels, channels, relu=False)

    def forward(self, x):
        return x + self.project(self.depthwise(self.expand(x)))


class MobileNetV2(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = conv_bn(1, 8, 3, stride=2)
        self.blocks = nn.Sequential(Inverted(8), Inverted(8))
        self.linear = nn.Linear(8, 10)

    def forward(self, x):
        return self.linear(self.blocks(self.stem(x)).mean((2, 3)))


class Branches(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.one, self.two = conv_bn(1, 8, 3, stride=2), conv_bn(8, 4), conv_bn(8, 4, 3)
        self.join, self.pool, self.linear = conv_bn(16, 8), nn.AvgPool2d(2), nn.Linear(8, 10)

    def forward(self, x):
        x = self.stem(x)
        x = self.join(torch.cat([self.one(x), x, self.two(x)], dim=1))
        return self.linear(self.pool(x).mean((2, 3)))


NETWORKS = [RunningExample, Plain, SharedReLU, MobileNetV2, Branches]
BATCH = ({0: torch.export.Dim("batch")},)


def prepare(network, seed=0):
    """A network with random weights and statistics, calibrated by FX, and other random images."""
    warnings.simplefilter("ignore")
    torch.manual_seed(seed)
    torch.backends.quantized.engine = "onednn"
    model = network()
    images = torch.randn(64, 1, 28, 28)
    with torch.no_grad():
        model.train()(images)  # statistics of batch normalization
        prepared = prepare_fx(model.eval(), get_default_qconfig_mapping("onednn"), (images[:2],))
        prepared(images)
    return prepared, torch.randn(200, 1, 28, 28)


@pytest.fixture(scope="module", params=[(n, s) for s, n in enumerate(NETWORKS)], ids=str)
def case(request):
    network, seed = request.param
    prepared, images = prepare(network, seed)
    exported = export.fx_prepared_to_pt2e(prepared, (images[:2],), BATCH)
    return prepared, exported, images


def run(model, images):
    with torch.inference_mode():
        return model(images)


def test_prepared_to_pt2e_is_exact(case):
    prepared, exported, images = case
    reference = _convert_to_reference_decomposed_fx(copy.deepcopy(prepared))
    assert torch.equal(run(exported, images), run(reference, images))


def test_parameters_are_equal(case):
    prepared, exported, _ = case
    before, after = (export.activation_parameters(model) for model in (prepared, exported))
    assert list(before.values()) == list(after.values())
    assert len(export.integer_weights(exported)) >= 3


def test_int8_to_pt2e_equals_the_other_route(case):
    prepared, exported, images = case
    quantized = convert_fx(copy.deepcopy(prepared))
    rebuilt = export.fx_int8_to_pt2e(quantized, (images[:2],), BATCH)
    weights = zip(export.integer_weights(rebuilt), export.integer_weights(exported), strict=True)
    assert all(torch.equal(a, b) for pair in weights for a, b in zip(*pair, strict=True))
    assert torch.equal(run(rebuilt, images), run(exported, images))


def test_shifted_to_int8_is_exact(case):
    _, exported, images = case
    shifted = export.shift_to_int8(exported)
    found = export.activation_parameters(shifted).values()
    assert {parameters[2:] for parameters in found} == {(-128, 127)}
    assert torch.equal(run(shifted, images), run(exported, images))


def test_native_kernels_are_near(case):
    if not has_int8_dot_product():
        pytest.skip("without VNNI, oneDNN's sums saturate")
    prepared, exported, images = case
    native = run(convert_fx(copy.deepcopy(prepared)), images)
    scale = list(export.activation_parameters(exported).values())[-1][0]
    steps = ((run(exported, images) - native) / scale).round().abs()
    assert steps.max() <= 2 and (steps == 0).float().mean() > 0.9


@pytest.mark.parametrize("fault", ["scale", "zero point", "swapped"])
def test_planted_faults_are_found(fault):
    prepared, images = prepare(Branches)
    exported = export.fx_prepared_to_pt2e(prepared, (images[:2],), BATCH)
    quantizers = [n for n in exported.graph.nodes if n.target is export.QUANTIZE]
    broken = copy.deepcopy(exported)
    nodes = [n for n in broken.graph.nodes if n.target in (export.QUANTIZE, export.DEQUANTIZE)]
    args = list(nodes[2].args)
    if fault == "scale":
        args[1] *= 1.02
    elif fault == "zero point":
        args[2] += 1
    else:
        args[1:5] = quantizers[-1].args[1:5]
    nodes[2].args = nodes[3].args = tuple(args)
    nodes[3].args = (nodes[2], *args[1:])
    broken.recompile()
    assert export.activation_parameters(broken) != export.activation_parameters(exported)
    assert not torch.equal(run(broken, images), run(exported, images))


def test_unknown_modules_are_named():
    class Strange(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.strange = nn.Conv2d(1, 4, 3), nn.PixelShuffle(2)

        def forward(self, x):
            return self.strange(self.first(x))

    prepared, images = prepare(Strange)
    with pytest.raises(ValueError, match=r"^strange: a PixelShuffle cannot be carried over$"):
        export.fx_prepared_to_pt2e(prepared, (images[:2],))


def test_a_layer_that_pads_otherwise_is_named():
    def network():
        first = nn.Conv2d(1, 4, 3, padding=1, padding_mode="reflect")
        return nn.Sequential(first, nn.Flatten(), nn.Linear(4 * 28 * 28, 10))

    prepared, images = prepare(network)
    with pytest.raises(ValueError, match=r"^_0: a Conv2d cannot be carried over$"):
        export.fx_int8_to_pt2e(convert_fx(prepared), (images[:2],))


def test_uncalibrated_observers_are_named():
    warnings.simplefilter("ignore")
    images = torch.randn(2, 1, 28, 28)
    mapping = get_default_qconfig_mapping("onednn")
    prepared = prepare_fx(RunningExample().eval(), mapping, (images,))
    with pytest.raises(ValueError, match="activation_post_process_0: has observed nothing"):
        export.fx_prepared_to_pt2e(prepared, (images,))
