"""PT2E: what people stumble over with dynamic quantization.

Shapes that export fixed, a prepared model that never ran, static and dynamic in one quantizer, and
a compiled model in which nothing was fused.
Source: run with torchao 0.18 and PyTorch 2.13.
"""

# %% load
import logging
import warnings

import torch
from torch import nn

from handbook.record import expected, record

logging.disable(logging.WARNING)  # torchao mentions the GPU kernels that it does not find

from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

torch.manual_seed(0)
torch.set_num_threads(1)
model = nn.Sequential(nn.Linear(64, 64), nn.GELU(), nn.Linear(64, 64)).eval()
x = torch.randn(8, 64)
dynamic = x86.get_default_x86_inductor_quantization_config(is_dynamic=True)
static = x86.get_default_x86_inductor_quantization_config()
quantizer = x86.X86InductorQuantizer().set_global(dynamic)

# %% fixed_shape
exported = torch.export.export(model, (x,)).module()
with expected(AssertionError, "Guard failed: input.size()[0] == 8"):
    exported(torch.randn(3, 64))

# %% batch_of_one
batch = torch.export.Dim("batch")
with expected(torch._dynamo.exc.UserError, "specialized it to be a constant (1)"):
    torch.export.export(model, (x[:1],), dynamic_shapes=({0: batch},))

# %% never_ran
prepared = prepare_pt2e(exported, quantizer)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    wrong = convert_pt2e(prepared)
print(*{str(warning.message) for warning in caught})
error = ((wrong(x) - model(x)).norm() / model(x).norm()).item()
record(never_ran=round(100 * error), tolerance=5, because="other kernels")
assert error > 0.5

# %% mixed
mixed = x86.X86InductorQuantizer()
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    mixed.set_module_name_qconfig("0", dynamic)
    mixed.set_module_name_qconfig("2", static)
print(*(str(warning.message) for warning in caught), sep="\n")
prepared = prepare_pt2e(torch.export.export(model, (x,)).module(), mixed)
prepared(x)
targets = [str(node.target) for node in convert_pt2e(prepared).graph.nodes]
print("layers quantized:", sum("dequantize_per_channel" in target for target in targets))

# %% freezing
import torch._inductor.config
from torch._inductor.utils import run_and_get_code

warnings.filterwarnings("ignore", "To copy construct from a tensor")  # from Inductor itself
for freezing in (False, True):
    prepared = prepare_pt2e(torch.export.export(model, (x,)).module(), quantizer)
    prepared(x)
    torch._dynamo.reset()
    torch._inductor.config.freezing = freezing
    with torch.no_grad():
        _, sources = run_and_get_code(torch.compile(convert_pt2e(prepared)), x)
    kernels = sources[0].count("torch.ops.onednn.qlinear_pointwise.tensor(")
    print("freezing:", freezing, "- int8 kernels:", kernels)
    assert (kernels > 0) == freezing
