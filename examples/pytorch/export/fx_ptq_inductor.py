"""An FX model that was carried over to PT2E, lowered to int8 kernels by Inductor.

The generated code shows which layers run in int8; outputs are compared on all 10 000 test images.
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
from torch.ao.quantization import get_default_qconfig_mapping
from torch.ao.quantization.quantize_fx import prepare_fx

from handbook import export
from handbook.data import fashion_mnist
from handbook.running_example import load_running_example, predict

# Three deprecation notices, which the page on static quantization explains.
warnings.filterwarnings("ignore", "torch.ao.quantization is deprecated")
warnings.filterwarnings("ignore", "Please use quant_min and quant_max")
warnings.filterwarnings("ignore", "torch.quantize_per_tensor, torch.quantize_per_channel")
# And one that only CPUs without VNNI give: what it warns of is measured in fx/no_vnni.py.
warnings.filterwarnings("ignore", "Default qconfig of oneDNN backend")
# And one of Inductor about its own code.
warnings.filterwarnings("ignore", "To copy construct from a tensor")
torch.set_num_threads(1)
torch.backends.quantized.engine = "onednn"
calibration_images = fashion_mnist("train")[0][:1000]
test_images, labels = fashion_mnist("test")
example_inputs = (torch.from_numpy(test_images[:2]),)  # two: one would fix the batch at 1
any_batch = ({0: torch.export.Dim("batch")},)
mapping = get_default_qconfig_mapping("onednn")
prepared = prepare_fx(load_running_example(), mapping, example_inputs)
predict(prepared, calibration_images)

exported = export.fx_prepared_to_pt2e(prepared, example_inputs, any_batch)

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

scale = list(export.activation_parameters(exported).values())[-1][0]
reference = predict(exported, test_images)
outputs = {"PT2E": reference, "PT2E, Inductor": lowered}
rows = [{"model": name} | parity(o, reference, labels, scale) for name, o in outputs.items()]
assert rows[1]["largest difference"] <= "2 LSB" or not has_int8_dot_product()
wide = {"accuracy %": 5, "95 % interval": 5, "same answer %": 8, "identical outputs %": 90}
SATURATE = "int8 kernels round ties apart, and saturate without VNNI"
table("results", rows, tolerance=wide | {"largest difference": 40}, because=SATURATE)
record(kernels=sum(kernels.values()))
