"""FX graph mode: post-training static quantization.

The running example is traced, observed on 1000 training images, and converted to int8 modules:
accuracy, agreement with the float model, and size, for two of PyTorch's engines.
Source: the docstrings of torch.ao.quantization.quantize_fx, PyTorch 2.13.
"""

# %% load
import copy
import warnings

import torch
from torch.ao.nn import quantized as nnq
from torch.ao.quantization import get_default_qconfig_mapping
from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

from handbook.data import fashion_mnist
from handbook.running_example import load_running_example, predict

# Three deprecation notices, which the page explains.
warnings.filterwarnings("ignore", "torch.ao.quantization is deprecated")
warnings.filterwarnings("ignore", "Please use quant_min and quant_max")
warnings.filterwarnings("ignore", "torch.quantize_per_tensor, torch.quantize_per_channel")
# And one that only CPUs without VNNI give: what it warns of is measured in no_vnni.py.
warnings.filterwarnings("ignore", "Default qconfig of oneDNN backend")

model = load_running_example()  # in eval mode
calibration_images = fashion_mnist("train")[0][:1000]
test_images, labels = fashion_mnist("test")

# %% prepare
torch.backends.quantized.engine = "x86"  # PyTorch's default on such a CPU
qconfig_mapping = get_default_qconfig_mapping("x86")
example_inputs = (torch.from_numpy(calibration_images[:1]),)
prepared = prepare_fx(copy.deepcopy(model), qconfig_mapping, example_inputs)
for node in list(prepared.graph.nodes)[:5]:
    module = type(prepared.get_submodule(node.target)).__name__ if node.op == "call_module" else ""
    print(f"{node.op:12} {node.target:26} {module}")

# %% calibrate
with torch.inference_mode():
    for batch in torch.from_numpy(calibration_images).split(100):
        prepared(batch)
print(prepared.activation_post_process_0)

# %% convert
quantized = convert_fx(prepared)
print(quantized.stem.conv)
integer_modules = [m for m in quantized.modules() if isinstance(m, nnq.Conv2d | nnq.Linear)]
assert len(integer_modules) == 11  # ten convolutions and the classifier: none stayed float
float_logits, logits = predict(model, test_images), predict(quantized, test_images)

# %% onednn
torch.backends.quantized.engine = "onednn"
prepared = prepare_fx(copy.deepcopy(model), get_default_qconfig_mapping("onednn"), example_inputs)
predict(prepared, calibration_images)
quantized_onednn = convert_fx(prepared)
logits_onednn = predict(quantized_onednn, test_images)

# %% results
from handbook.measure import SCORE_TOLERANCE, cpu, file_size_kib, score
from handbook.record import artifact, table

runs = {
    "float32": (model, float_logits),
    "int8, x86": (quantized, logits),
    "int8, onednn": (quantized_onednn, logits_onednn),
}
rows = []
for run, (m, run_logits) in runs.items():
    path = artifact(f"pytorch/fx/ptq_static/{run.replace(', ', '-')}.pt")
    torch.save(m.state_dict(), path)
    size = round(file_size_kib(path))  # a few bytes depend on the file's name
    rows.append({"model": run} | score(run_logits, labels, float_logits) | {"size KiB": size})
table("results", rows, **SCORE_TOLERANCE)
assert rows[1]["accuracy %"] > rows[0]["accuracy %"] - 1
if {"avx512_vnni", "avx_vnni"} & set(cpu().isa):  # without, onednn saturates: see no_vnni.py
    assert rows[2]["accuracy %"] > rows[0]["accuracy %"] - 1
