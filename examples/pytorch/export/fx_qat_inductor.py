"""A model of FX quantization aware training in PT2E, lowered to int8 kernels by Inductor.

The generated code shows which layers run in int8; outputs are compared on all 10 000 test images
with those of the reference and of FX mode's own int8 kernels.
Source: torchao's tutorial on X86InductorQuantizer; run with PyTorch 2.13.
"""

# %% load
import logging
import re
import warnings
from collections import Counter

import torch

logging.disable(logging.WARNING)  # torchao mentions the GPU kernels that it does not find
from torch._inductor import config
from torch._inductor.utils import run_and_get_code
from torch.ao.quantization.quantize_fx import convert_fx

from handbook import export
from handbook.data import fashion_mnist
from handbook.fx_qat import load_fx_qat
from handbook.record import artifact
from handbook.running_example import predict

warnings.simplefilter("ignore")  # deprecation notices of FX mode, and of its tensor types
torch.set_num_threads(1)
torch.backends.quantized.engine = "onednn"
test_images, labels = fashion_mnist("test")
example_inputs = (torch.from_numpy(test_images[:2]),)  # two: one would fix the batch at 1
any_batch = ({0: torch.export.Dim("batch")},)
trained = load_fx_qat(artifact("pytorch/export/fx_qat_to_pt2e_qat/trained.pt"))
exported = export.fx_prepared_to_pt2e(trained, example_inputs, any_batch)

# %% compile
config.freezing = True  # weights are constants: without it, nothing is fused
compiled = torch.compile(exported, dynamic=False)
batches = torch.from_numpy(test_images).split(500)
with torch.no_grad():
    first, code = run_and_get_code(compiled, batches[0])
    lowered = torch.cat([first, *(compiled(batch) for batch in batches[1:])]).numpy()
kernels = Counter(re.findall(r"torch\.ops\.onednn\.(\w+)", "\n".join(code)))
print(*(f"{count} {kernel}" for kernel, count in kernels.items()), sep="\n")
assert sum(kernels.values()) >= 10

# %% results
from handbook.conversions import parity
from handbook.measure import has_int8_dot_product
from handbook.record import record, table

step = list(export.activation_parameters(exported).values())[-1][0]
reference = predict(exported, test_images)
outputs = {
    "PT2E": reference,
    "PT2E, Inductor": lowered,
    "FX, int8 kernels": predict(convert_fx(trained), test_images),
}
rows = [{"model": name} | parity(y, reference, labels, step) for name, y in outputs.items()]
wide = {"accuracy %": 2, "95 % interval": 2, "same answer %": 2, "identical outputs %": 10}
because = "training on another CPU ends elsewhere, and int8 kernels round ties apart"
table("results", rows, tolerance=wide | {"largest difference": 2}, because=because)
far = [abs(y - reference).max() > 2.5 * step for y in outputs.values()]
assert not any(far) or not has_int8_dot_product()
record(kernels=sum(kernels.values()))
