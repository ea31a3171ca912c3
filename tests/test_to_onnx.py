"""handbook.to_onnx: biases that ONNX can hold, parameters that match, and what it refuses."""

import copy
import logging

import numpy as np
import onnx
import pytest
import torch
from torch import nn
from torch.ao.quantization import get_default_qconfig_mapping
from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

from handbook import export, to_onnx

pytestmark = [
    pytest.mark.filterwarnings(
        "ignore:torch.ao.quant", "ignore:torch.quantize", "ignore:Please use"
    ),
    pytest.mark.filterwarnings("ignore:.*legacy TorchScript", "ignore:.isinstance.treespec"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning"),
]


@pytest.fixture(scope="module")
def models():
    """A calibrated FX model, its int8 model, and an input."""
    torch.manual_seed(0)
    x = torch.randn(8, 1, 6, 6)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)).eval()
    engine, torch.backends.quantized.engine = torch.backends.quantized.engine, "qnnpack"
    prepared = prepare_fx(net, get_default_qconfig_mapping("onednn"), (x,))
    prepared(x)
    yield prepared, convert_fx(copy.deepcopy(prepared)), x
    torch.backends.quantized.engine = engine


def int32_biases(file):
    values = {t.name: onnx.numpy_helper.to_array(t) for t in onnx.load(file).graph.initializer}
    for node in onnx.load(file).graph.node:
        if node.op_type == "Constant":
            values[node.output[0]] = onnx.numpy_helper.to_array(node.attribute[0].t)
    return [v for v in values.values() if v.dtype == np.int32 and v.size > 2 and v.any()]


def test_the_exporter_writes_rounded_biases(models, tmp_path):
    prepared, int8, x = models
    rounded = to_onnx.round_biases(int8, x)
    for name, model in (("cut", int8), ("rounded", rounded)):
        torch.onnx.export(nn.Sequential(model), (x,), tmp_path / name, dynamo=False)
    conv, linear = int8.get_submodule("0"), int8.get_submodule("3")
    scale = prepared.activation_post_process_0.calculate_qparams()[0].double()
    steps = [
        scale * conv.weight().q_per_channel_scales(),
        conv.scale * linear.weight().q_per_channel_scales(),
    ]
    exact = [
        (layer.bias().detach() / step).numpy()
        for layer, step in zip((conv, linear), steps, strict=True)
    ]
    for found, expected in zip(int32_biases(tmp_path / "rounded"), exact, strict=True):
        assert (found == np.rint(expected)).all()
    for found, expected in zip(int32_biases(tmp_path / "cut"), exact, strict=True):
        assert (found == np.trunc(expected)).all()  # if this fails, PyTorch has mended it


def test_exported_biases_are_whole_steps_and_the_rest_stays(models):
    prepared, _, x = models
    exported = export.fx_prepared_to_pt2e(prepared, (x,))
    rounded = to_onnx.round_exported_biases(exported)
    assert to_onnx.exported_parameters(exported) == to_onnx.exported_parameters(rounded)
    assert 0 < (exported(x) - rounded(x)).abs().max() < 0.1 or (exported(x) == rounded(x)).all()


def test_shifts_there_and_back(models):
    prepared, _, x = models
    exported = export.fx_prepared_to_pt2e(prepared, (x,))
    back = to_onnx.shift_to_uint8(export.shift_to_int8(exported))
    assert (back(x) == exported(x)).all() and back.code == exported.code


def test_parameters_agree_and_a_changed_one_is_found(models, tmp_path):
    prepared, int8, x = models
    exported = export.fx_prepared_to_pt2e(prepared, (x,))
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    file = tmp_path / "int8.onnx"
    torch.onnx.export(exported, (x,), file, external_data=False, verbose=False)
    expected = to_onnx.converted_parameters(prepared, int8)
    assert to_onnx.onnx_parameters(file) == to_onnx.exported_parameters(exported) == expected
    before = file.stat().st_size
    to_onnx.tidy(file)
    assert to_onnx.onnx_parameters(file) == expected and file.stat().st_size < before
    model = onnx.load(file)
    zero = next(n for n in model.graph.node if n.op_type == "QuantizeLinear").input[2]
    tensor = next(t for t in model.graph.initializer if t.name == zero)
    tensor.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor) + 1, zero))
    onnx.save(model, file)
    assert to_onnx.onnx_parameters(file) != expected


def test_keeps_what_it_is_given(tmp_path):
    logits = np.arange(6, dtype=np.float32).reshape(2, 3)
    parameters = {(np.float32(0.1).item(), 3), (np.float32(0.2).item(),)}
    to_onnx.keep(tmp_path / "a.onnx", logits, 0.1, parameters)
    found = to_onnx.kept(tmp_path / "a.onnx")
    assert (found[0] == logits).all() and found[1:] == (0.1, parameters)


def test_refuses_float_models():
    net, x = nn.Sequential(nn.Linear(2, 2)), torch.ones(1, 2)
    with pytest.raises(ValueError, match="no layer has a bias"):
        to_onnx.round_biases(net, x)
    with pytest.raises(ValueError, match="convert_pt2e"):
        to_onnx.round_exported_biases(torch.export.export(net, (x,)).module())
