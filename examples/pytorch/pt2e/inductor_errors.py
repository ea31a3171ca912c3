"""PT2E lowered to x86: four ways to lose the int8 kernels.

No freezing, gradients left on, freezing given as an option, and a batch that Inductor takes for
dynamic: two of them are silent.
Source: run with PyTorch 2.13 and torchao 0.18; pytorch/ao#4566.
"""

# %% load
import logging
import re
import warnings

import torch
from torch._inductor import config
from torch._inductor.exc import InductorError
from torch._inductor.utils import run_and_get_code

from handbook.data import fashion_mnist
from handbook.record import expected
from handbook.running_example import load_running_example, predict

logging.disable(logging.WARNING)  # torchao mentions the GPU kernels that it does not find
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

warnings.filterwarnings("ignore", "To copy construct from a tensor")  # Inductor's own code
torch.set_num_threads(1)
images = torch.from_numpy(fashion_mnist("test")[0][:100])

# %% quantize
any_batch = ({0: torch.export.Dim("batch")},)
exported = torch.export.export(load_running_example(), (images,), dynamic_shapes=any_batch)
quantizer = x86.X86InductorQuantizer()
quantizer.set_global(x86.get_default_x86_inductor_quantization_config())
prepared = prepare_pt2e(exported.module(), quantizer)
predict(prepared, fashion_mnist("train")[0][:200])
quantized = convert_pt2e(prepared)


# %% kernels
def kernels(model):
    """How many int8 and how many float layers the generated code calls."""
    _, code = run_and_get_code(model, images)
    code = "\n".join(code)
    int8 = len(re.findall(r"torch\.ops\.onednn\.q(?:conv|conv2d|linear)_pointwise", code))
    return int8, len(re.findall(r"= extern_kernels\.convolution|extern_kernels\.addmm", code))


# %% not_frozen
config.freezing = False  # the default
with torch.no_grad():
    found = kernels(torch.compile(quantized, dynamic=False))
print("int8 layers: {}, float layers: {}".format(*found))
assert found == (0, 11)

# %% with_gradients
config.freezing = True
torch.compiler.reset()
found = kernels(torch.compile(quantized, dynamic=False))  # no torch.no_grad()
print("int8 layers: {}, float layers: {}".format(*found))
assert found == (0, 11)

# %% as_option
config.freezing = False
torch.compiler.reset()
refused = "UnsupportedOperatorException: onednn.qconv_prepack.default"
with expected(InductorError, refused), torch.no_grad():
    torch.compile(quantized, dynamic=False, options={"freezing": True})(images)

# %% dynamic
config.freezing = True
torch.compiler.reset()
compiled = torch.compile(quantized)  # no dynamic=False
with torch.no_grad():
    compiled(images)  # the first shape is taken as it is
    with expected(AssertionError, "expected size 16==16, stride 1==196 at dim=1"):
        try:
            compiled(images[:50])  # another one makes the batch dynamic
        except AssertionError as error:  # the lines that follow hold addresses
            raise AssertionError(str(error).splitlines()[0]) from None

# %% three_channels
colors = torch.rand(20, 3, 28, 28)
exported = torch.export.export(
    torch.nn.Conv2d(3, 16, 3).eval(), (colors,), dynamic_shapes=any_batch
)
prepared = prepare_pt2e(exported.module(), quantizer)
prepared(colors)
quantized = convert_pt2e(prepared)
torch.compiler.reset()
with torch.no_grad():
    outputs = torch.compile(quantized, dynamic=True)(colors)
    print("largest difference:", (outputs - quantized(colors)).abs().max().item())
torch.testing.assert_close(outputs, quantized(colors), rtol=0, atol=0.05)
