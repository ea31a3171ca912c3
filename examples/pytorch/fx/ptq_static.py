"""FX graph mode: post-training static quantization.

The running example is traced, observed on 1000 training images, and converted to int8 modules:
accuracy, agreement with the float model, size and latency, for two of PyTorch's engines.
Source: the docstrings of torch.ao.quantization.quantize_fx, PyTorch 2.13.
"""

# %% load
import copy
import warnings
from functools import partial

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

model = load_running_example()  # in eval mode: in training mode, BatchNorm is not folded
calibration_images = fashion_mnist("train")[0][:1000]
test_images, labels = fashion_mnist("test")

# %% prepare
torch.backends.quantized.engine = "onednn"
qconfig_mapping = get_default_qconfig_mapping("onednn")
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

# %% second_engine
torch.backends.quantized.engine = "x86"
prepared = prepare_fx(copy.deepcopy(model), get_default_qconfig_mapping("x86"), example_inputs)
predict(prepared, calibration_images)
quantized_x86 = convert_fx(prepared)
logits_x86 = predict(quantized_x86, test_images)

# %% results
from handbook.measure import SCORE_TOLERANCE, file_size_kib, has_int8_dot_product, score
from handbook.record import artifact, table

runs = {
    "float32": (model, float_logits),
    "int8, onednn": (quantized, logits),
    "int8, x86": (quantized_x86, logits_x86),
}
rows = []
for run, (m, run_logits) in runs.items():
    path = artifact(f"pytorch/fx/ptq_static/{run.replace(', ', '-')}.pt")
    torch.save(m.state_dict(), path)
    size = round(file_size_kib(path))  # the format's own overhead varies by a few bytes
    rows.append({"model": run} | score(run_logits, labels, float_logits) | {"size KiB": size})
table("results", rows, **SCORE_TOLERANCE)
assert all(row["accuracy %"] > rows[0]["accuracy %"] - 1 for row in rows)

# %% latency
from handbook.measure import latency, speedup
from handbook.record import TIMING

rows = []
for count in (1, 100):
    images = torch.from_numpy(test_images[:count])
    with torch.inference_mode():
        calls = {run: partial(m, images) for run, (m, _) in runs.items()}
        times = latency(calls)
    for run, time in times.items():
        row = {"images at once": count, "model": run, "median ms": time.median_ms}
        row["quartiles ms"] = f"{time.low_ms:.2f} to {time.high_ms:.2f}"
        rows.append(row | {"times as fast as float32": speedup(times["float32"], time)})
timing = dict.fromkeys(("median ms", "quartiles ms", "times as fast as float32"), TIMING)
table("latency", rows, tolerance=timing)
if has_int8_dot_product():
    assert rows[-1]["times as fast as float32"] > 1.2  # 100 images, on the default engine
