"""handbook.fixed_quantizer carries FX models over to PT2E exactly, calibrated or in training.

The five networks are those of test_export.py. Each check fails on a planted fault: the last tests
plant them.
"""

import copy
import operator
import warnings

import pytest
import torch
from test_export import BATCH, NETWORKS, Branches, Plain, prepare, run
from torch import nn
from torch.ao.quantization import (
    QConfigMapping,
    default_dynamic_qconfig,
    get_default_qat_qconfig_mapping,
    get_default_qconfig_mapping,
)
from torch.ao.quantization.quantize_fx import prepare_fx, prepare_qat_fx
from torch.nn import functional as F
from torchao.quantization import pt2e
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e, prepare_qat_pt2e

from handbook import export
from handbook.fixed_quantizer import FixedQuantizer, marked
from handbook.fx_qat import qat_mapping

# The deprecation notices of torch.ao.quantization, and of PyTorch's own use of its pytree.
pytestmark = pytest.mark.filterwarnings(
    "ignore:torch.ao.quant", "ignore:torch.quantize", "ignore:Please use", "ignore:`isinstance"
)
CASES = [(network, seed) for seed, network in enumerate(NETWORKS)]


def carry(prepared, images, **options):
    """The PT2E model that prepare_pt2e and FixedQuantizer make of one that FX prepared."""
    floats = torch.export.export(marked(prepared), (images[:2],), dynamic_shapes=BATCH).module()
    return prepare_pt2e(floats, FixedQuantizer(prepared, **options))


def integer_weights(model):
    """Weight and scales of each layer, in the order of the layers: QAT moves the weights' nodes."""
    layers = (torch.ops.aten.conv2d.default, torch.ops.aten.linear.default)
    found = [node.args[1].args[:2] for node in model.graph.nodes if node.target in layers]
    return [[operator.attrgetter(a.target)(model) for a in pair] for pair in found]


def same_as_reference(converted, prepared, images):
    """Whether parameters, integer weights and outputs equal those of the decomposed reference."""
    reference = export.fx_prepared_to_pt2e(prepared, (images[:2],), BATCH)
    found, wanted = (export.activation_parameters(m) for m in (converted, reference))
    weights = zip(integer_weights(converted), integer_weights(reference), strict=True)
    return {
        "parameters": list(found.values()) == list(wanted.values()),
        "weights": all(torch.equal(a, b) for pair in weights for a, b in zip(*pair, strict=True)),
        "outputs": torch.equal(run(converted, images), run(reference, images)),
    }


@pytest.fixture(scope="module", params=CASES, ids=str)
def case(request):
    return prepare(*request.param)


def test_equals_the_decomposed_reference(case):
    prepared, images = case
    found = same_as_reference(convert_pt2e(carry(prepared, images)), prepared, images)
    assert all(found.values()), found


def test_int8_is_exact(case):
    prepared, images = case
    converted = convert_pt2e(carry(prepared, images, int8=True))
    limits = {parameters[2:] for parameters in export.activation_parameters(converted).values()}
    assert limits == {(-128, 127)}
    reference = export.fx_prepared_to_pt2e(prepared, (images[:2],), BATCH)
    assert torch.equal(run(converted, images), run(reference, images))


def train(model, images, steps, seed):
    """Steps of SGD; returns the logits of each."""
    generator = torch.Generator().manual_seed(seed)
    optimizer, logits = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9), []
    for _ in range(steps):
        chosen = torch.randperm(len(images), generator=generator)[:32]
        logits.append(model(images[chosen]))
        optimizer.zero_grad()
        F.cross_entropy(logits[-1], chosen % 10).backward()
        optimizer.step()
    return torch.stack(logits).detach()


def trained(network, mapping, seed=0):
    """A network that FX has trained for two steps, and random images."""
    warnings.simplefilter("ignore")
    torch.manual_seed(seed)
    torch.backends.quantized.engine = "onednn"
    images = torch.randn(64, 1, 28, 28)
    prepared = prepare_qat_fx(network().train(), mapping, (images[:2],))
    train(prepared, images, 2, seed)
    return prepared, images


def carry_training(prepared, images, **options):
    """The PT2E model that goes on from where FX is."""
    floats = marked(prepared, training=True)
    exported = torch.export.export(floats, (images[:2],), dynamic_shapes=BATCH).module()
    quantizer = FixedQuantizer(prepared, **({"live": True} | options))
    return pt2e.allow_exported_model_train_eval(prepare_qat_pt2e(exported, quantizer))


@pytest.mark.parametrize(("network", "seed"), CASES, ids=str)
def test_training_goes_on_exactly(network, seed):
    prepared, images = trained(network, qat_mapping(), seed)
    observed = carry_training(prepared, images)
    assert torch.equal(*(train(m, images, 3, seed) for m in (prepared, observed)))


def test_training_with_the_default_goes_on_exactly():
    prepared, images = trained(Branches, get_default_qat_qconfig_mapping("onednn"))
    observed = carry_training(prepared, images, int8=True)
    assert torch.equal(*(train(m, images, 3, 0) for m in (prepared, observed)))


def test_trained_on_and_converted_equals_the_reference():
    prepared, images = trained(Branches, qat_mapping())
    observed = carry_training(prepared, images)
    for model in (prepared, observed):
        train(model, images, 2, 0)
        model.eval()
    found = same_as_reference(convert_pt2e(observed), prepared, images)
    assert all(found.values()), found


# Planted faults


def test_a_wrong_parameter_is_found(monkeypatch):
    prepared, images = prepare(Branches)
    right = FixedQuantizer.spec

    def wrong(self, name, theirs):
        found = right(self, name, theirs)
        if name == "activation_post_process_5":
            object.__setattr__(found, "scale", found.scale * 1.02)
        return found

    monkeypatch.setattr(FixedQuantizer, "spec", wrong)
    found = same_as_reference(convert_pt2e(carry(prepared, images)), prepared, images)
    assert found == {"parameters": False, "weights": True, "outputs": False}


def test_a_wrong_weight_is_found():
    prepared, images = prepare(Branches)
    spoiled = copy.deepcopy(prepared)
    with torch.no_grad():
        spoiled.get_submodule("one.conv")[0].weight[0] *= 1.02
    found = same_as_reference(convert_pt2e(carry(spoiled, images)), prepared, images)
    assert found == {"parameters": True, "weights": False, "outputs": False}


def test_a_forgotten_shift_is_found(monkeypatch):
    prepared, images = prepare(Branches)
    right = FixedQuantizer.spec

    def wrong(self, name, theirs):
        found = right(self, name, theirs)
        if name == "activation_post_process_5":
            object.__setattr__(found, "zero_point", found.zero_point + 128)
        return found

    monkeypatch.setattr(FixedQuantizer, "spec", wrong)
    reference = export.fx_prepared_to_pt2e(prepared, (images[:2],), BATCH)
    converted = convert_pt2e(carry(prepared, images, int8=True))
    assert not torch.equal(run(converted, images), run(reference, images))


def test_training_that_does_not_go_on_is_found():
    prepared, images = trained(Branches, qat_mapping())
    observed = carry_training(prepared, images, live=False)  # ranges stay as they are
    assert not torch.equal(*(train(m, images, 3, 0) for m in (prepared, observed)))


# What it refuses


def test_layers_are_named():
    first = nn.ConvTranspose2d(1, 4, 3)
    network = nn.Sequential(first, nn.Flatten(), nn.Linear(3600, 10))
    per_tensor = get_default_qconfig_mapping("qnnpack")  # per-channel observers refuse it sooner
    images = torch.randn(2, 1, 28, 28)
    warnings.simplefilter("ignore")
    prepared = prepare_fx(network.eval(), per_tensor, (images,))
    prepared(images)
    with pytest.raises(ValueError, match=r"^0: a ConvTranspose2d cannot be carried over$"):
        marked(prepared)
    with pytest.raises(ValueError, match=r"^0: a ConvTranspose2d cannot be carried over$"):
        FixedQuantizer(prepared)


def test_a_linear_layer_with_batch_normalization_cannot_be_trained_on():
    def network():
        return nn.Sequential(nn.Flatten(), nn.Linear(784, 10), nn.BatchNorm1d(10))

    prepared, _ = trained(network, qat_mapping())
    with pytest.raises(ValueError, match=r"^1: a LinearBn1d cannot be trained on$"):
        marked(prepared, training=True)


def test_observers_that_have_seen_nothing_are_named():
    warnings.simplefilter("ignore")
    images = torch.randn(2, 1, 28, 28)
    mapping = get_default_qconfig_mapping("onednn")
    prepared = prepare_fx(Plain().eval(), mapping, (images,))
    with pytest.raises(ValueError, match="activation_post_process_0: has observed nothing"):
        carry(prepared, images)


def test_dynamic_quantization_is_refused():
    warnings.simplefilter("ignore")
    images = torch.randn(2, 1, 28, 28)
    mapping = QConfigMapping().set_object_type(nn.Linear, default_dynamic_qconfig)
    prepared = prepare_fx(Plain().eval(), mapping, (images,))
    prepared(images)
    with pytest.raises(ValueError, match=r"^\w+: a PlaceholderObserver that is not static"):
        carry(prepared, images)
