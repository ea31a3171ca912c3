"""Which layers does PT2E quantize with X86InductorQuantizer?

Models of one layer each, and layers of images between two int8 ones too. What counts is the last
graph that Inductor makes: lowerings to int8 kernels have names (qconv, qlinear, qmaxpool2d, ...).
Source: torchao 0.18; torch._inductor of PyTorch 2.13.
"""

# %% load
import json
import logging
import warnings

import torch

from handbook.findings import examine, rows
from handbook.one_layer import between, torch_layers
from handbook.record import artifact, table

warnings.simplefilter("ignore")  # deprecation notices, which another page explains
logging.disable(logging.WARNING)  # torchao mentions the GPU kernels that it does not find
layers = torch_layers()  # name: (model of that layer alone, its inputs)


# %% last_graph
class Stop(Exception):
    pass


def look(graph):
    graphs.append(graph)
    raise Stop  # writing the code and compiling it takes far longer


graphs = []
torch._inductor.config.freezing = True  # without it, nothing fuses
torch._inductor.config.post_grad_custom_post_pass = look


def last_graph(converted, inputs):
    torch._dynamo.reset()
    try:
        torch.compile(converted, dynamic=False)(*inputs)
    except Exception as error:  # which wraps the one of the pass
        if "Stop" not in repr(error):
            raise
    return graphs.pop()


# %% inspect
PRODUCTS = ("aten.convolution", "aten.mm", "aten.addmm", "aten.bmm", "mkldnn", "mkl")
ASIDE = ("quantized_decomposed", "inductor_force", "aten.clone", "prims.convert", "getitem")


def kinds(graph, dynamic):
    found, weights = [], "dequantize_per_channel" in str([n.target for n in graph.nodes])
    for node in graph.nodes:
        lowering = getattr(getattr(node.target, "func", None), "__name__", "")
        name = str(node.target)
        if lowering.startswith("q"):
            found.append("int8")
        elif node.op == "call_function" and not any(part in name for part in ASIDE):
            product = name.startswith(PRODUCTS)
            if product or not dynamic:
                found.append("weights" if product and weights else "float")
    return found


# %% quantize
import torchao.quantization.pt2e.quantizer.x86_inductor_quantizer as x86
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e


def quantize(name, model=None):
    layer, inputs = layers[name]
    config = x86.get_default_x86_inductor_quantization_config(is_dynamic=way == "dynamic")
    exported = torch.export.export(model or layer, inputs).module()
    with torch.no_grad():
        prepared = prepare_pt2e(exported, x86.X86InductorQuantizer().set_global(config))
        if not any("activation_post_process" in child for child, _ in prepared.named_children()):
            return ["float"]  # no observers: nothing to convert
        prepared(*inputs)  # calibrate
        return kinds(last_graph(convert_pt2e(prepared), inputs), way == "dynamic")


def quantize_between(name):
    """Of a layer that follows: float alone, and int8 between two int8 layers."""
    layer, inputs = layers[name]
    model = between(layer, inputs)
    return model and quantize(name, model)[len(inputs) : -1]


# %% results
columns = {}
for way in ("static", "dynamic"):
    second_chance = quantize_between if way == "static" else None
    columns[f"X86 {way}"], errors = examine(layers, quantize, second_chance)
    assert not errors, errors
table("results", rows(columns))
artifact("static_dynamic/operators_x86/results.json").write_text(json.dumps(columns))
assert columns["X86 static"]["Conv2d"] == "int8" and columns["X86 static"]["Conv3d"] == "float"
