"""FX's int8 kernels and its reference form, by engine: by how many steps do the outputs differ.

One calibrated model with 8-bit activations is converted for each of PyTorch's engines, and one with
the 7 bits of "x86". All 10 000 test images.
Source: our own measurement, with PyTorch 2.13.
"""

# %% load
import copy
import logging
import warnings

import torch

logging.disable(logging.WARNING)  # torchao mentions the GPU kernels that it does not find
from torch.ao.quantization import get_default_qconfig_mapping
from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

from handbook import export
from handbook.data import fashion_mnist
from handbook.running_example import load_running_example, predict

# Three deprecation notices, which the page on static quantization explains.
warnings.filterwarnings("ignore", "torch.ao.quantization is deprecated")
warnings.filterwarnings("ignore", "Please use quant_min and quant_max")
warnings.filterwarnings("ignore", "torch.quantize_per_tensor, torch.quantize_per_channel")
# And one that only CPUs without VNNI give: what it warns of is measured in fx/no_vnni.py.
warnings.filterwarnings("ignore", "Default qconfig of oneDNN backend")
torch.set_num_threads(1)
calibration_images = fashion_mnist("train")[0][:1000]
test_images, labels = fashion_mnist("test")
example_inputs = (torch.from_numpy(test_images[:2]),)  # two: one would fix the batch at 1
any_batch = ({0: torch.export.Dim("batch")},)


# %% prepare
def prepare(engine):
    torch.backends.quantized.engine = engine
    mapping = get_default_qconfig_mapping(engine)
    prepared = prepare_fx(load_running_example(), mapping, example_inputs)
    predict(prepared, calibration_images)
    return prepared


def int8(prepared, engine):
    torch.backends.quantized.engine = engine
    return convert_fx(copy.deepcopy(prepared))


eight, seven = prepare("onednn"), prepare("x86")  # bits of the activations


# %% engines
def reference(model):
    scale = list(export.activation_parameters(model).values())[-1][0]
    return predict(model, test_images), scale


eight_bits = reference(export.fx_prepared_to_pt2e(eight, example_inputs, any_batch))
seven_bits = reference(export.fx_prepared_to_pt2e(seven, example_inputs, any_batch))
# int8 kernels know no limits but 0 and 255: the model that is rebuilt from them has these.
rebuilt = reference(export.fx_int8_to_pt2e(int8(seven, "x86"), example_inputs, any_batch))
pairs = {(engine, 8): eight_bits for engine in ("onednn", "x86", "fbgemm", "qnnpack")}
pairs |= {("x86", 7): rebuilt, ("fbgemm", 7): rebuilt}
pairs |= {("x86, limits of 0 and 127", 7): seven_bits}
natives = {
    pair: predict(int8(eight if pair[1] == 8 else seven, pair[0].split(",")[0]), test_images)
    for pair in pairs
}

# %% results
from handbook.measure import agreement, has_int8_dot_product
from handbook.record import record, table

rows = []
for (engine, bits), (found, scale) in pairs.items():
    native = natives[engine, bits]
    steps = (abs(native - found) / scale).round()
    row = {"engine": engine, "bits": bits, "same answer %": agreement(native, found)}
    row |= {f"{n} LSB": int((steps == n).sum()) for n in (1, 2)}
    row |= {"more": int((steps > 2).sum()), "largest LSB": int(steps.max())}
    rows.append(row)
vnni = has_int8_dot_product()
assert not vnni or (rows[0]["largest LSB"] <= 2 and rows[0]["2 LSB"] < 20)
assert all(rows[i]["largest LSB"] <= 1 for i in (4, 5)) or not vnni  # on every image
assert rows[6]["largest LSB"] > 2  # the limits are to blame, not the kernels
SATURATES = "int8 kernels differ between CPUs, and without VNNI all sums of 8 bits saturate"
wide = {"same answer %": 30, "largest LSB": 200}
wide |= dict.fromkeys(("1 LSB", "2 LSB", "more"), native.size)
table("engines", rows, tolerance=wide, because=SATURATES)
record(outputs=native.size)

# %% conversions
from handbook.conversions import conversions, parity

row = parity(rebuilt[0], natives["x86", 7], labels, rebuilt[1]) | {"equal parameters %": 100.0}
edge = ("PyTorch FX, int8", "PyTorch PT2E, int8", "fx_int8_to_pt2e")
conversions({edge: row}, because="int8 kernels round ties apart")
