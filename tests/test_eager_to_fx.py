"""handbook.eager_to_fx carries eager observers over to FX exactly, on networks of many structures.

Each check fails on a planted fault: the last tests plant them.
"""

import copy
import warnings

import pytest
import torch
from torch import nn
from torch.ao import quantization as aoq
from torch.ao.nn.quantized import FloatFunctional
from torch.ao.quantization.fake_quantize import FakeQuantizeBase
from torch.ao.quantization.observer import ObserverBase
from torch.ao.quantization.quantize_fx import _convert_to_reference_decomposed_fx, convert_fx
from torch.nn import functional as F

from handbook import export
from handbook.eager_example import EagerExample
from handbook.eager_to_fx import eager_observed_to_fx
from handbook.measure import has_int8_dot_product
from handbook.running_example import conv_bn, depthwise

# The deprecation notices of torch.ao.quantization, and of its tensor types.
pytestmark = pytest.mark.filterwarnings(
    "ignore:torch.ao.quant", "ignore:torch.quantize", "ignore:Please use"
)


class Stubbed(nn.Module):
    def __init__(self):
        super().__init__()
        self.quant, self.dequant = aoq.QuantStub(), aoq.DeQuantStub()

    def forward(self, x):
        return self.dequant(self.body(self.quant(x)))


class Plain(Stubbed):
    """Nothing is fused, so that FX fuses what eager mode has not; ReLU6 has an unused observer."""

    def __init__(self):
        super().__init__()
        layers = [nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3)]
        layers += [nn.Hardswish(), nn.Conv2d(8, 8, 1), nn.ReLU6(), nn.Dropout()]
        self.body = nn.Sequential(*layers, nn.Flatten(), nn.Linear(1152, 10))


class SharedReLU(Stubbed):
    """A residual block that calls one ReLU module twice, and add_relu."""

    def __init__(self):
        super().__init__()
        self.stem, self.relu = conv_bn(1, 8, 3, relu=False, stride=2), nn.ReLU()
        self.a, self.b = conv_bn(8, 8, 3, relu=False), conv_bn(8, 8, 3, relu=False)
        self.add, self.pool = FloatFunctional(), nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(8, 10)

    def body(self, x):
        x = self.relu(self.stem(x))
        x = self.add.add_relu(x, self.b(self.relu(self.a(x))))
        return self.linear(torch.flatten(self.pool(x), 1))


class Inverted(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.expand, self.depthwise = conv_bn(channels, 3 * channels), depthwise(3 * channels)
        self.project = conv_bn(3 * channels, channels, relu=False)
        self.add = FloatFunctional()

    def forward(self, x):
        return self.add.add(x, self.project(self.depthwise(self.expand(x))))


class MobileNetV2(Stubbed):
    def __init__(self):
        super().__init__()
        self.stem = conv_bn(1, 8, 3, stride=2)
        self.blocks = nn.Sequential(Inverted(8), Inverted(8))
        self.linear = nn.Linear(8, 10)

    def body(self, x):
        return self.linear(self.blocks(self.stem(x)).mean((2, 3)))


class Branches(Stubbed):
    """Three parts of a concatenation with three scales, and a gate."""

    def __init__(self):
        super().__init__()
        self.stem, self.one, self.two = conv_bn(1, 8, 3, stride=2), conv_bn(8, 4), conv_bn(8, 4, 3)
        self.join, self.pool, self.linear = conv_bn(16, 8), nn.AvgPool2d(2), nn.Linear(8 * 49, 10)
        self.cat, self.gate = FloatFunctional(), FloatFunctional()

    def body(self, x):
        x = self.stem(x)
        x = self.join(self.cat.cat([self.one(x), x, self.two(x)], dim=1))
        return self.linear(torch.flatten(self.pool(self.gate.mul(x, F.relu(x))), 1))


class Twice(Stubbed):
    """A layer, and an addition, that are called twice, each with one observer."""

    def __init__(self):
        super().__init__()
        self.stem, self.again = conv_bn(1, 8, 3, stride=2), conv_bn(8, 8, 3)
        self.add, self.linear = FloatFunctional(), nn.Linear(8, 10)

    def body(self, x):
        x = self.stem(x)
        x = self.add.add(x, self.again(x))
        x = self.add.add(x, self.again(x))
        return self.linear(x.mean((2, 3)))


class FloatTail(Stubbed):
    """A float part between two quantized ones, with operations that FX would quantize."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 8, 3), nn.Flatten(), nn.Linear(8 * 26 * 26, 10))
        self.in_float, self.last = nn.Linear(10, 10), aoq.QuantWrapper(nn.Linear(10, 10))

    def forward(self, x):
        x = F.softmax(super().forward(x), 1)
        return self.last(x + self.in_float(x))


NETWORKS = [EagerExample, Plain, SharedReLU, MobileNetV2, Branches, Twice, FloatTail]


def random_images(count):
    """Images of different contrast: the mean of each is another."""
    return torch.randn(count, 1, 28, 28) * torch.rand(count, 1, 1, 1) * 3


def observed(network, qat=False, seed=0, engine="onednn", calibrate=True, qconfig=None):
    """A network with random weights, observed or trained for three steps; and other images."""
    warnings.simplefilter("ignore")
    torch.manual_seed(seed)
    torch.backends.quantized.engine = engine
    model, images = network(), random_images(64)
    with torch.no_grad():
        model.train()(images)  # statistics of batch normalization
    model.train(qat)
    blocks = {n: m for n, m in model.named_modules() if hasattr(m, "bn")}
    fused = [[f"{name}.{part}" for part, _ in m.named_children()] for name, m in blocks.items()]
    if fused:
        model = (aoq.fuse_modules_qat if qat else aoq.fuse_modules)(model, fused)
    default = aoq.get_default_qat_qconfig if qat else aoq.get_default_qconfig
    model.qconfig = qconfig or default(engine)
    if network is FloatTail:
        model.in_float.qconfig = None
    eager = (aoq.prepare_qat if qat else aoq.prepare)(model)
    if qat:
        optimizer = torch.optim.SGD(eager.parameters(), 0.01)
        for _ in range(3):
            F.cross_entropy(eager(images), torch.arange(64) % 10).backward()
            optimizer.step()
        eager.apply(aoq.disable_observer).eval()
    elif calibrate:
        run(eager, images)
    return eager, random_images(200)


def run(model, images):
    with torch.no_grad():
        return model(images)


def eager_parameters(model):
    """Scale and zero point of each module that an int8 eager model rounds with."""
    return {
        name: (float(m.scale), int(m.zero_point))
        for name, m in model.named_modules()
        if hasattr(m, "scale")
    }


CASES = {
    f"{network.__name__}-{'qat' if qat else 'ptq'}-{seed}": (network, qat, seed)
    for network in NETWORKS
    for qat in (False, True)
    for seed in (0, 1)
}


@pytest.fixture(scope="module", params=CASES.values(), ids=CASES)
def case(request):
    network, qat, seed = request.param
    eager, images = observed(network, qat, seed)
    return eager, eager_observed_to_fx(eager, (images[:2],)), images


def test_int8_outputs_are_equal(case):
    eager, prepared, images = case
    outputs = run(aoq.convert(copy.deepcopy(eager)), images)
    assert torch.equal(run(convert_fx(copy.deepcopy(prepared)), images), outputs)
    assert outputs.std(0).min() > 0  # not a dead network


def test_every_parameter_arrives(case):
    eager, prepared, _ = case
    int8 = set(eager_parameters(aoq.convert(copy.deepcopy(eager))).values())
    used = {parameters[:2] for parameters in export.activation_parameters(prepared).values()}
    assert used == int8


def test_the_eager_model_is_left_alone(case):
    eager, _, images = case
    before = copy.deepcopy(eager)
    eager_observed_to_fx(eager, (images[:2],))
    assert [*eager.state_dict()] == [*before.state_dict()]
    assert torch.equal(run(copy.deepcopy(eager), images), run(before, images))


@pytest.mark.parametrize("engine", ["x86", "fbgemm", "qnnpack"])
@pytest.mark.parametrize("qat", [False, True])
def test_other_engines(engine, qat):
    eager, images = observed(Branches, qat, engine=engine)
    prepared = eager_observed_to_fx(eager, (images[:2],))
    outputs = run(aoq.convert(copy.deepcopy(eager)), images)
    assert torch.equal(run(convert_fx(prepared), images), outputs)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("qat", [False, True])
def test_on_to_pt2e(network, qat):
    eager, images = observed(network, qat)
    prepared = eager_observed_to_fx(eager, (images[:2],))
    batch = ({0: torch.export.Dim("batch")},)
    exported = export.fx_prepared_to_pt2e(prepared, (images[:2],), batch)
    before, after = (export.activation_parameters(m) for m in (prepared, exported))
    assert [*before.values()] == [*after.values()]
    reference = _convert_to_reference_decomposed_fx(copy.deepcopy(prepared))
    outputs = run(exported, images)
    assert torch.equal(outputs, run(reference, images))
    if has_int8_dot_product():  # without VNNI, oneDNN's sums saturate
        int8 = run(aoq.convert(copy.deepcopy(eager)), images)
        assert (outputs.argmax(1) == int8.argmax(1)).float().mean() > 0.95


def test_training_goes_on():
    eager, images = observed(Branches, qat=True)
    eager.train()
    prepared = eager_observed_to_fx(eager, (images[:2],))
    assert prepared.training and prepared.get_submodule("one.conv").bn.training
    optimizer = torch.optim.SGD(prepared.parameters(), 0.1)
    before = copy.deepcopy(prepared.linear.weight)
    prepared(images).square().mean().backward()
    optimizer.step()
    assert not torch.equal(prepared.linear.weight, before)


def test_calibration_goes_on():
    """Exactly with minima and maxima: histograms count what FX shows to an observer once more."""
    eager, images = observed(Branches, qconfig=aoq.default_qconfig)
    prepared = eager_observed_to_fx(eager, (images[:2],))
    run(eager, 2 * images)
    run(prepared, 2 * images)
    assert torch.equal(*(run(m, images) for m in (aoq.convert(eager), convert_fx(prepared))))


def test_a_shared_observer_stays_shared():
    eager, images = observed(Branches, calibrate=False)
    shared = eager.cat.activation_post_process
    for layer in (eager.stem.conv, eager.one.conv, eager.two.conv):
        layer.activation_post_process = shared
    run(eager, images)
    prepared = eager_observed_to_fx(eager, (images[:2],))
    observers = [m for m in prepared.modules() if isinstance(m, ObserverBase)]
    assert len(observers) == 5  # of the input, the shared one, join, gate, linear
    assert torch.equal(*(run(m, images) for m in (aoq.convert(eager), convert_fx(prepared))))


# Refusals


def test_an_uncalibrated_observer_is_named():
    eager, images = observed(Branches, calibrate=False)
    with pytest.raises(ValueError, match=r"^quant: has observed nothing: calibrate the model"):
        eager_observed_to_fx(eager, (images[:2],))


class BatchNormalization(Stubbed):
    """Not fused: int8 in eager mode, and folded by FX."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3))


class Plus(Stubbed):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)

    def body(self, x):
        x = self.conv(x)
        return x + x


class Scalar(Plus):
    def __init__(self):
        super().__init__()
        self.functional = FloatFunctional()

    def body(self, x):
        return self.functional.mul_scalar(self.conv(x), 2.0)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (BatchNormalization, "body.1: FX has no place for its observer"),
        (Plus, "add: FX quantizes its result, and eager mode does not observe it"),
        (Scalar, "mul: FX quantizes its result, and eager mode does not observe it"),
    ],
)
def test_refused_with_the_name(network, message):
    eager, images = observed(network)
    with pytest.raises(ValueError) as raised:
        eager_observed_to_fx(eager, (images[:2],))
    assert str(raised.value) == message


# Planted faults


@pytest.mark.parametrize("fault", ["scale", "swapped", "no second rounding", "weights"])
@pytest.mark.parametrize("qat", [False, True])
def test_planted_faults_are_found(fault, qat):
    eager, images = observed(Branches, qat, seed=2)
    prepared = eager_observed_to_fx(eager, (images[:2],))
    kinds = (ObserverBase, FakeQuantizeBase)
    nodes = [n for n in prepared.graph.nodes if n.op == "call_module"]
    nodes = [n for n in nodes if isinstance(prepared.get_submodule(n.target), kinds)]
    if fault == "scale":
        observer = prepared.get_submodule(nodes[1].target)
        inner = getattr(observer, "activation_post_process", observer)
        inner.max_val *= 1.1
        if hasattr(observer, "scale"):
            observer.scale *= 1.1
        if hasattr(inner, "histogram"):
            inner.histogram = torch.ones_like(inner.histogram)
    elif fault == "swapped":
        nodes[1].target, nodes[2].target = nodes[2].target, nodes[1].target
    elif fault == "no second rounding":
        second = next(n for n in nodes if n.args[0] in nodes)
        second.replace_all_uses_with(second.args[0])
        prepared.graph.erase_node(second)
    else:
        next(m for m in prepared.modules() if isinstance(m, nn.Linear)).weight.data *= 1.02
    prepared.recompile()
    int8 = run(aoq.convert(copy.deepcopy(eager)), images)
    assert not torch.equal(run(convert_fx(prepared), images), int8)
