"""FX graph mode: the onednn engine on a CPU without VNNI.

oneDNN is told to use no newer instructions than AVX-512 without VNNI. Its sums of 8-bit products
then saturate at 16 bits, without a word; 7-bit activations (the x86 engine's default) do not.
Source: pytorch/pytorch#103646.
"""

# %% load
import os

os.environ["ONEDNN_MAX_CPU_ISA"] = "AVX512_CORE"  # before torch is imported

import warnings

import torch
from torch.ao.quantization import get_default_qconfig_mapping
from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

from handbook.data import fashion_mnist
from handbook.running_example import load_running_example, predict

warnings.simplefilter("ignore")  # the deprecation notices that errors.py shows
calibration_images = fashion_mnist("train")[0][:1000]
test_images, labels = fashion_mnist("test")
float_logits = predict(load_running_example(), test_images)

# %% results
from handbook.measure import cpu, score
from handbook.record import table

rows = []
for engine in ("x86", "onednn"):
    torch.backends.quantized.engine = engine
    example_inputs = (torch.from_numpy(test_images[:1]),)
    mapping = get_default_qconfig_mapping(engine)
    prepared = prepare_fx(load_running_example(), mapping, example_inputs)
    predict(prepared, calibration_images)
    logits = predict(convert_fx(prepared), test_images)
    rows.append({"engine, without VNNI": engine} | score(logits, labels, float_logits))
SATURATION = "which sums saturate depends on the kernels of the CPU"
wide = {"accuracy %": 5, "95 % interval": 5, "same answer as float %": 10}
table("results", rows, tolerance=wide, because=SATURATION)
assert rows[0]["same answer as float %"] > 98
if "avx512_vnni" in cpu().isa:  # elsewhere the limit changes nothing, or more
    assert rows[1]["same answer as float %"] < 97
