"""An eager model that was carried over to FX, and on to PT2E and Inductor: every form, compared.

The parameters are the eager model's in all of them. Outputs are compared on all 10 000 test images.
Source: torchao's tutorial on X86InductorQuantizer; handbook.eager_to_fx, handbook.export.
"""

# %% load
import copy
import logging
import re
import warnings

import torch

logging.disable(logging.WARNING)  # torchao mentions the GPU kernels that it does not find
from torch._inductor import config
from torch._inductor.utils import run_and_get_code
from torch.ao.quantization import convert, fuse_modules, get_default_qconfig, prepare
from torch.ao.quantization.quantize_fx import convert_fx

from handbook import export
from handbook.data import fashion_mnist
from handbook.eager_example import load_eager_example, modules_to_fuse
from handbook.eager_to_fx import eager_observed_to_fx
from handbook.running_example import predict

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

model = load_eager_example()
fused = fuse_modules(model, modules_to_fuse(model))
fused.qconfig = get_default_qconfig("onednn")  # 8 bits: int8 kernels know no others
eager = prepare(fused)
predict(eager, calibration_images)

# %% carry
example_inputs = (torch.from_numpy(test_images[:2]),)  # two: one would fix the batch at 1
any_batch = ({0: torch.export.Dim("batch")},)
prepared = eager_observed_to_fx(eager, example_inputs)
exported = export.fx_prepared_to_pt2e(prepared, example_inputs, any_batch)
quantized = convert_fx(copy.deepcopy(prepared))
parameters = [export.activation_parameters(m) for m in (prepared, exported)]
assert list(parameters[0].values()) == list(parameters[1].values())

# %% compile
config.freezing = True  # weights are constants: without it, nothing is fused
compiled = torch.compile(exported, dynamic=False)
batches = torch.from_numpy(test_images).split(500)
with torch.no_grad():
    first, code = run_and_get_code(compiled, batches[0])
    lowered = torch.cat([first, *(compiled(batch) for batch in batches[1:])]).numpy()
kernels = len(re.findall(r"torch\.ops\.onednn\.\w+", "\n".join(code)))
assert kernels >= 10

# %% results
from handbook.conversions import conversions, parity
from handbook.measure import has_int8_dot_product
from handbook.record import record, table

scale = list(parameters[1].values())[-1][0]
reference = predict(exported, test_images)
outputs = {"PT2E": reference, "PT2E, Inductor": lowered}
outputs["FX, int8 kernels"] = predict(quantized, test_images)
outputs["eager, int8 kernels"] = predict(convert(copy.deepcopy(eager)), test_images)
assert (outputs["FX, int8 kernels"] == outputs["eager, int8 kernels"]).all()
rows = [{"model": n} | parity(found, reference, labels, scale) for n, found in outputs.items()]
steps = [int(row["largest difference"].removesuffix(" LSB")) for row in rows]
assert max(steps) <= 2 or not has_int8_dot_product()
SATURATES = "int8 kernels round ties apart, and without VNNI their sums saturate"
wide = {"accuracy %": 5, "95 % interval": 5, "same answer %": 8, "identical outputs %": 90}
table("results", rows, tolerance=wide | {"largest difference": 40}, because=SATURATES)
record(kernels=kernels, activations=len(parameters[1]))

# %% conversions
row = rows[0] | {"equal parameters %": 100.0, "integer operators": kernels}
row.pop("model")
edge = ("PyTorch eager, observed", "PyTorch PT2E, int8", "through FX, observed")
conversions({edge: row}, because="float kernels of other CPUs sum in another order")
