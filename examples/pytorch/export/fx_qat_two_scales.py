"""The scales of the default fake quantizer, carried from FX mode to PT2E.

FX's fused fake quantizer trains with one scale and converts with another. So the model that arrives
in PT2E is the converted one, and not the one that was trained; with the plain one it is both.
Source: run with PyTorch 2.13; the two scales are in pytorch/ao#4824.
"""

# %% load
import logging
import warnings

import torch

logging.disable(logging.WARNING)  # torchao mentions the GPU kernels that it does not find
from torch.ao.quantization import get_default_qat_qconfig_mapping
from torch.ao.quantization.fake_quantize import disable_observer
from torch.ao.quantization.quantize_fx import prepare_qat_fx

from handbook import export
from handbook.data import fashion_mnist
from handbook.fx_qat import qat_mapping
from handbook.running_example import load_running_example, predict

warnings.simplefilter("ignore")  # deprecation notices of FX mode, and of its tensor types
torch.set_num_threads(1)
torch.backends.quantized.engine = "onednn"
train_images = torch.from_numpy(fashion_mnist("train")[0])
test_images, labels = fashion_mnist("test")
example_inputs = (torch.from_numpy(test_images[:2]),)  # two: one would fix the batch at 1
any_batch = ({0: torch.export.Dim("batch")},)

# %% carry
from handbook.conversions import parity
from handbook.record import table

mappings = {"default": get_default_qat_qconfig_mapping("onednn"), "plain": qat_mapping()}
rows = []
for name, mapping in mappings.items():
    prepared = prepare_qat_fx(load_running_example().train(), mapping, example_inputs)
    with torch.no_grad():
        for batch in train_images[:1280].split(128):  # ranges and statistics, no training
            prepared(batch)
    prepared.eval().apply(disable_observer)
    exported = export.fx_prepared_to_pt2e(prepared, example_inputs, any_batch)
    step = list(export.activation_parameters(exported).values())[-1][0]
    weight = prepared.separable2.pointwise.conv.weight_fake_quant
    ratio = weight.scale / weight.calculate_qparams()[0]
    row = parity(predict(exported, test_images), predict(prepared, test_images), labels, step)
    between = f"{ratio.min():.4f} to {ratio.max():.4f}"
    row |= {"scale in training / in PT2E": between}
    rows.append({"fake quantizer": name} | row)
wide = {"accuracy %": 2, "95 % interval": 2, "same answer %": 2, "identical outputs %": 25}
wide |= {"largest difference": 30, "scale in training / in PT2E": 0.01}
table("results", rows, tolerance=wide, because="statistics depend on the CPU's float kernels")
assert rows[0]["identical outputs %"] < rows[1]["identical outputs %"] - 15
assert rows[1]["scale in training / in PT2E"] == "1.0000 to 1.0000"
