"""Four ways of PyTorch to prepare the same model for quantization aware training, today.

Eager mode, FX, PT2E and torchao each insert fake quantization into a model of two linear layers;
then what old tutorials import.
Source: run with torch and torchao as installed; their dates are in history_tools.py.
"""

# %% model
import logging
import warnings

import torch
from torch import nn

logging.disable(logging.WARNING)  # torchao mentions the GPU kernels that it does not find
example_inputs = (torch.rand(4, 64),)


def float_model():
    return nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10)).train()


# %% eager
from torch.ao.quantization import get_default_qat_qconfig, prepare_qat


def eager():
    model = float_model()
    model.qconfig = get_default_qat_qconfig("x86")
    return prepare_qat(model)


# %% fx
from torch.ao.quantization import get_default_qat_qconfig_mapping
from torch.ao.quantization.quantize_fx import prepare_qat_fx


def fx():
    return prepare_qat_fx(float_model(), get_default_qat_qconfig_mapping("x86"), example_inputs)


# %% pt2e
from torchao.quantization.pt2e.quantize_pt2e import prepare_qat_pt2e
from torchao.quantization.pt2e.quantizer.x86_inductor_quantizer import (
    X86InductorQuantizer,
    get_default_x86_inductor_quantization_config,
)


def pt2e():
    config = get_default_x86_inductor_quantization_config(is_qat=True)
    exported = torch.export.export(float_model(), example_inputs).module()
    return prepare_qat_pt2e(exported, X86InductorQuantizer().set_global(config))


# %% torchao
from torchao.quantization import Int8DynamicActivationIntxWeightConfig, quantize_
from torchao.quantization.qat import QATConfig


def torchao():
    model = float_model()
    config = Int8DynamicActivationIntxWeightConfig(weight_dtype=torch.int4)
    quantize_(model, QATConfig(config, step="prepare"))
    return model


# %% today
from handbook.record import expected, table

FAKE_QUANTIZERS = {"FusedMovingAvgObsFakeQuantize", "IntxFakeQuantizer"}
rows = []
for prepare, since in [(eager, 2019), (fx, 2021), (pt2e, 2023), (torchao, 2024)]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = prepare()
    found = sum(type(module).__name__ in FAKE_QUANTIZERS for module in model.modules())
    old = any("torch.ao.quantization is deprecated" in str(warning.message) for warning in caught)
    deprecated = "yes" if old else "no"
    rows.append({"way": prepare.__name__, "since": since, "fake quantizers": found})
    rows[-1]["warns that it is deprecated"] = deprecated
    assert found == (5 if prepare is fx else 4) and old == (prepare in (eager, fx))
table("today", rows)

# %% moved
with expected(ModuleNotFoundError, "torch.ao.quantization.quantize_pt2e"):
    from torch.ao.quantization.quantize_pt2e import prepare_qat_pt2e

# %% renamed
try:
    from torchao.quantization import Int8DynamicActivationInt4WeightConfig

    config = Int8DynamicActivationInt4WeightConfig(group_size=32)
except ImportError as error:
    message = str(error).partition(" (")[0]  # without the path of this machine
print("ImportError:", message)
assert message.startswith("cannot import name")
