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

warnings.simplefilter("ignore")  # deprecation notices of FX mode, and of its tensor types
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
from handbook.measure import accuracy, agreement, has_int8_dot_product, lsb_difference
from handbook.record import record, table

scale = list(export.activation_parameters(exported).values())[-1][0]
reference, rows = predict(exported, test_images), []
for name, found in {"PT2E": reference, "PT2E, Inductor": lowered}.items():
    row = {"model": name, "accuracy %": accuracy(found, labels).percent}
    row["identical outputs %"] = round(100 * float((abs(found - reference) < scale / 2).mean()), 2)
    row["largest difference LSB"] = lsb_difference(found, reference, scale)
    rows.append(row | {"same answer %": agreement(found, reference)})
assert rows[1]["largest difference LSB"] <= 2 or not has_int8_dot_product()
wide = {"accuracy %": 1, "identical outputs %": 5, "largest difference LSB": 2, "same answer %": 1}
table("results", rows, tolerance=wide, because="int8 kernels round ties apart")
record(kernels=sum(kernels.values()))
