"""PT2E: why nn.GRU is not quantized.

It is one operation that no quantizer knows, and export fixes the length of its input.
Source: torch.export of PyTorch 2.13, torchao.quantization.pt2e of torchao 0.18.
"""

# %% load
import logging
import warnings

import torch
from torch import nn

from handbook.record import expected
from handbook.text import dictionary, load_pronouncer, spell

warnings.simplefilter("ignore")  # notices that the page lists
logging.disable(logging.WARNING)  # torchao mentions the GPU kernels that it does not find

from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

torch.set_num_threads(1)
model = load_pronouncer()

# %% length
some = spell(list(dictionary())[:10])
batch, length = torch.export.Dim("words", min=2), torch.export.Dim("letters", min=2, max=40)
with expected(torch._dynamo.exc.UserError, "your code specialized it to be a constant"):
    torch.export.export(model, some, dynamic_shapes=({0: batch, 1: length}, {0: batch}))

# %% not_quantized
exported = torch.export.export(model, some, dynamic_shapes=({0: batch}, {0: batch}))
config = x86.get_default_x86_inductor_quantization_config(is_dynamic=True)
quantizer = x86.X86InductorQuantizer().set_module_type_qconfig(nn.Linear, config)
prepared = prepare_pt2e(exported.module(), quantizer)
prepared(*some)
converted = convert_pt2e(prepared)
targets = [str(node.target) for node in converted.graph.nodes]
for name in ("aten.gru.input", "aten.gru_cell.default", "aten.linear.default"):
    print(f"{targets.count(name):3} {name}")
weights = sum("dequantize_per_channel" in target for target in targets)
print(f"{weights:3} weights in int8")
assert targets.count("aten.gru.input") == 1 and weights == 20  # the classifier, at each step
