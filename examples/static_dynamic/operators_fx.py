"""Which layers does PyTorch's FX graph mode quantize?

Models of one layer each: static, dynamic and weight-only, with one qconfig for the whole model.
Each result is run, and the operators that run are noted.
Source: torch.ao.quantization.quantize_fx of PyTorch 2.13.
"""

# %% load
import copy
import json
import warnings

import torch

from handbook.findings import examine, rows
from handbook.one_layer import between, kinds_run, torch_layers
from handbook.record import artifact, table

warnings.simplefilter("ignore")  # deprecation notices, which another page explains
torch.backends.quantized.engine = "x86"
layers = torch_layers()  # name: (model of that layer alone, its inputs)

# %% mappings
from torch.ao.quantization import (
    QConfigMapping,
    default_dynamic_qconfig,
    float_qparams_weight_only_qconfig,
    get_default_qconfig_mapping,
)

mappings = {
    "FX static": get_default_qconfig_mapping("x86"),
    "FX dynamic": QConfigMapping().set_global(default_dynamic_qconfig),
    "FX weight-only": QConfigMapping().set_global(float_qparams_weight_only_qconfig),
}

# %% quantize
from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx


def quantize(name, model=None):
    layer, inputs = layers[name]
    prepared = prepare_fx(copy.deepcopy(model or layer), mappings[column], inputs)
    prepared(*inputs)  # calibrate; of no effect but for static
    return kinds_run(convert_fx(prepared), inputs, dynamic=column != "FX static")


def quantize_between(name):
    """Of a layer that follows: float alone, and int8 between two int8 layers."""
    layer, inputs = layers[name]
    model = between(layer, inputs)
    return model and quantize(name, model)[len(inputs) : -1]


# %% results
columns, errors = {}, []
for column in mappings:
    columns[column], failed = examine(
        layers, quantize, quantize_between if column == "FX static" else None
    )
    errors += [{"way": column, "layer": name, "error": text} for name, text in failed.items()]
table("results", rows(columns))
artifact("static_dynamic/operators_fx/results.json").write_text(json.dumps(columns))

# %% errors
table("errors", errors)
assert columns["FX static"]["Conv2d"] == "int8" and columns["FX dynamic"]["Conv2d"] == "float"
