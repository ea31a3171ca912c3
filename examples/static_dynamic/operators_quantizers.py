"""Which layers do the PT2E quantizers for phones quantize: XNNPACKQuantizer and LiteRT's?

Models of one layer each, and layers of images between two int8 ones too. What counts is the
converted graph: an operator is int8 if the quantizer has annotated it, and it stands between
dequantize and quantize. Of that pattern XNNPACK and LiteRT make an integer kernel.
Source: torchao 0.18 with its copy of ExecuTorch's quantizer; LiteRT Torch 0.10.
"""

# %% load
import json
import logging
import warnings

import torch

from handbook.findings import examine, rows
from handbook.one_layer import between, torch_layers
from handbook.record import artifact, table
from handbook.tflite import quiet

warnings.simplefilter("ignore")  # deprecation notices, which another page explains
logging.disable(logging.WARNING)  # torchao mentions the GPU kernels that it does not find
layers = torch_layers()  # name: (model of that layer alone, its inputs)

# %% quantizers
with quiet():
    import torchao.testing.pt2e._xnnpack_quantizer as xnnpack
    from litert_torch.quantize import pt2e_quantizer as litert
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e


def quantizer():
    module, kind = {"XNNPACK": (xnnpack, "XNNPACKQuantizer"), "LiteRT": (litert, "PT2EQuantizer")}[
        tool
    ]
    config = module.get_symmetric_quantization_config(
        is_per_channel=True, is_dynamic=way == "dynamic"
    )
    return getattr(module, kind)().set_global(config)


# %% inspect
ASIDE = ("quantized_decomposed", "getitem", "zeros", "arange")
PRODUCTS = ("linear", "conv", "matmul", "mm", "lstm", "gru", "rnn", "embedding")


def kinds(graph, annotated):
    found = []
    for node in graph.nodes:
        name = str(node.target)
        if node.op != "call_function" or any(part in name for part in ASIDE):
            continue
        sources = [str(x.target) for x in node.all_input_nodes if x.op != "get_attr"]
        users = [str(user.target) for user in node.users]
        # A float activation meets int8 weights: LiteRT's kernels then quantize it themselves.
        some_int8 = any if (tool, way) == ("LiteRT", "dynamic") else all
        from_int8 = some_int8("dequantize" in x for x in sources)
        to_int8 = all("quantized_decomposed.quantize" in x for x in users)
        if way == "dynamic":
            if any(part in name for part in PRODUCTS):
                found.append("int8" if from_int8 else "float")
        elif from_int8 and len(users) == 1 and next(iter(node.users)).name in annotated:
            found.append("int8")  # in one kernel with the activation behind it
        elif not (to_int8 and "relu" in sources[0] + name and "conv" in sources[0]):
            found.append("int8" if from_int8 and to_int8 and node.name in annotated else "float")
    return found


# %% quantize
def quantize(name, model=None):
    layer, inputs = layers[name]
    exported = torch.export.export(model or layer, inputs).module()
    with torch.no_grad():
        prepared = prepare_pt2e(exported, quantizer())
        if not any("activation_post_process" in child for child, _ in prepared.named_children()):
            return ["float"]  # no observers: nothing to convert
        prepared(*inputs)  # calibrate
        annotated = {n.name for n in prepared.graph.nodes if "quantization_annotation" in n.meta}
        return kinds(convert_pt2e(prepared).graph, annotated)


def quantize_between(name):
    """Of a layer that follows: float alone, and int8 between two int8 layers."""
    layer, inputs = layers[name]
    model = between(layer, inputs)
    return model and quantize(name, model)[len(inputs) : -1]


# %% results
columns, errors = {}, []
for tool in ("XNNPACK", "LiteRT"):
    for way in ("static", "dynamic"):
        second_chance = quantize_between if way == "static" else None
        columns[f"{tool} {way}"], failed = examine(layers, quantize, second_chance)
        errors += [{"way": f"{tool} {way}", "layer": n, "error": e} for n, e in failed.items()]
table("results", rows(columns))
artifact("static_dynamic/operators_quantizers/results.json").write_text(json.dumps(columns))
assert columns["XNNPACK static"]["Linear"] == columns["LiteRT static"]["Linear"] == "int8"
print(*(f"{e['way']}, {e['layer']}: {e['error']}" for e in errors), sep="\n")
