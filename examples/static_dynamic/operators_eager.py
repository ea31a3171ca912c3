"""Which layers does PyTorch's eager mode quantize?

Models of one layer each: static, dynamic and weight-only. Each result is run, and the operators
that run are noted: which return quantized tensors, and which float.
Source: torch.ao.quantization of PyTorch 2.13.
"""

# %% load
import copy
import json
import warnings

import torch
from torch import nn
from torch.ao.nn.quantized import FloatFunctional

from handbook.findings import examine, rows
from handbook.one_layer import kinds_run, torch_layers
from handbook.record import artifact, table

warnings.simplefilter("ignore")  # deprecation notices, which another page explains
torch.backends.quantized.engine = "x86"
layers = torch_layers()  # name: (model of that layer alone, its inputs)

# %% static
from torch.ao.quantization import DeQuantStub, QuantStub, convert, get_default_qconfig, prepare

FUNCTIONAL = {"Add": "add", "Mul": "mul", "MatMul": "matmul", "Cat": "cat"}  # eager mode's own


class Stubbed(nn.Module):
    def __init__(self, name, layer, inputs):
        super().__init__()
        stub = QuantStub if inputs[0].is_floating_point() else nn.Identity
        self.quant, self.dequant = nn.ModuleList(stub() for _ in inputs), DeQuantStub()
        self.layer = FloatFunctional() if name in FUNCTIONAL else layer
        self.method = FUNCTIONAL.get(name)

    def forward(self, *inputs):
        x = [quant(each) for quant, each in zip(self.quant, inputs, strict=True)]
        if self.method:
            x = [x, 1] if self.method == "cat" else x
            return self.dequant(getattr(self.layer, self.method)(*x))
        return self.dequant(self.layer(*x))


def static(name):
    layer, inputs = layers[name]
    model = Stubbed(name, copy.deepcopy(layer), inputs).eval()
    model.qconfig = get_default_qconfig("x86")
    prepared = prepare(model)
    prepared(*inputs)  # calibrate
    return kinds_run(convert(prepared), inputs)


# %% dynamic
from torch.ao.quantization import default_dynamic_qconfig, quantize_dynamic


def dynamic(name, qconfig=default_dynamic_qconfig):
    layer, inputs = layers[name]
    leaves = {type(module) for module in layer.modules() if not list(module.children())}
    # Inside attention there is a Linear layer that, as its name says, is not to be quantized.
    leaves.discard(nn.modules.linear.NonDynamicallyQuantizableLinear)
    asked = dict.fromkeys(leaves, qconfig)
    return kinds_run(quantize_dynamic(layer, asked), inputs, dynamic=True)


# %% weight_only
from torch.ao.quantization import float_qparams_weight_only_qconfig


def weight_only(name):
    return dynamic(name, float_qparams_weight_only_qconfig)


# %% results
columns, errors = {}, []
for way in (static, dynamic, weight_only):
    column = f"eager {way.__name__.replace('_', '-')}"
    columns[column], failed = examine(layers, way)
    errors += [{"way": column, "layer": name, "error": text} for name, text in failed.items()]
table("results", rows(columns))
artifact("static_dynamic/operators_eager/results.json").write_text(json.dumps(columns))

# %% errors
table("errors", errors)
assert columns["eager static"]["LayerNorm"] == "int8" and columns["eager dynamic"]["GRU"] == "int8"
