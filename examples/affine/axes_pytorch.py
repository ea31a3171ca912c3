"""Axes in PyTorch: where the output channel is, and along which axis the scales lie.

One layer of each kind, quantized by FX and by PT2E; the shapes and the axes are read out of the
results.
Source: the quantized modules of torch.ao.nn.quantized, and torchao.quantization.pt2e.
"""

# %% model
import json
import logging
import warnings

import torch
from torch import nn

logging.disable(logging.WARNING)  # torchao mentions the GPU kernels that it does not find
warnings.simplefilter("ignore")  # deprecations: see the page on FX
torch.manual_seed(0)


class Layers(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(4, 8, 3)
        self.depthwise = nn.Conv2d(8, 8, 3, groups=8)
        self.transposed = nn.ConvTranspose2d(8, 6, 2)
        self.linear = nn.Linear(6, 5)

    def forward(self, x):
        return self.linear(self.transposed(self.depthwise(self.conv(x))).mean((2, 3)))


model, x = Layers().eval(), torch.rand(1, 4, 12, 12)

# %% fx
from torch.ao.quantization import get_default_qconfig_mapping
from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

prepared = prepare_fx(Layers().eval(), get_default_qconfig_mapping("x86"), (x,))
prepared(x)
quantized = convert_fx(prepared)

found = {}
for name, _ in model.named_children():
    weight = quantized.get_submodule(name).weight()
    if weight.qscheme() == torch.per_channel_affine:
        found["FX", name] = weight.q_per_channel_axis(), weight.q_per_channel_scales().numel()
    else:
        found["FX", name] = "-", 1  # one scale, weight.q_scale()

# %% pt2e
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

config = x86.get_default_x86_inductor_quantization_config()
prepared = prepare_pt2e(
    torch.export.export(model, (x,)).module(), x86.X86InductorQuantizer().set_global(config)
)
prepared(x)
graph = convert_pt2e(prepared, fold_quantize=False)
for node in graph.graph.nodes:
    if node.target == torch.ops.quantized_decomposed.quantize_per_channel.default:
        weight, scales, zero_points, axis = node.args[:4]
        name = weight.target.removesuffix(".weight")
        found["PT2E", name] = axis, graph.get_buffer(scales.target).numel()

# %% results
from handbook.record import artifact, table

rows = []
for tool in ("FX", "PT2E"):
    for name, layer in model.named_children():
        axis, scales = found.get((tool, name), ("-", "float"))
        row = {"layer": name, "tool": tool, "weight": str(tuple(layer.weight.shape))}
        rows.append(row | {"axis": axis, "scales": scales})
table("axes", rows)
artifact("affine/axes_pytorch/axes.json").write_text(json.dumps(rows))
assert [(row["axis"], row["scales"]) for row in rows[:4]] == [(0, 8), (0, 8), ("-", 1), (0, 5)]
assert ("PT2E", "transposed") not in found

# %% transposed
from handbook.record import expected

everything = torch.ao.quantization.QConfigMapping().set_global(
    torch.ao.quantization.get_default_qconfig("x86")  # per channel, for every kind of layer
)
with expected(AssertionError, "not supported yet for ConvTranspose"):
    prepare_fx(Layers().eval(), everything, (x,))
