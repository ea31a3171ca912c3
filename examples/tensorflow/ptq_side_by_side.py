"""One set of weights, three runtimes: PyTorch, ONNX Runtime and TFLite in int8, side by side.

Each runtime quantizes the running example with its own tool, on the same 1000 training images:
accuracy, agreement with float and with one another, size, operators in integers, and time for 100.
Source: torch.ao.quantization, onnxruntime.quantization, tf.lite.TFLiteConverter, ai_edge_quantizer.
"""

# %% load
import copy
import itertools
import warnings
from functools import partial

import numpy as np
import onnxruntime
import torch
from torch.ao.quantization import get_default_qconfig_mapping
from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx
from torch.fx.experimental.optimization import fuse

from handbook.data import fashion_mnist
from handbook.onnx_kinds import onnx_kinds
from handbook.record import artifact
from handbook.running_example import load_running_example, predict
from handbook.tflite_operators import Runner, tflite_operators

warnings.simplefilter("ignore")  # deprecation notices, see pytorch/fx/ptq_static.py
torch.set_num_threads(1)
onnxruntime.set_default_logger_severity(3)  # it says that its optimized graph is for this CPU
images, labels = fashion_mnist("test")
calls, logits, files, operators = {}, {}, {}, {}  # by the name of the model

# %% pytorch
torch.backends.quantized.engine = "x86"
model = load_running_example()
mapping, example_inputs = get_default_qconfig_mapping("x86"), (torch.from_numpy(images[:1]),)
prepared = prepare_fx(copy.deepcopy(model), mapping, example_inputs)
predict(prepared, fashion_mnist("train")[0][:1000])
best = fuse(model).to(memory_format=torch.channels_last)
for name, module in (("PyTorch float32", best), ("PyTorch int8, FX", convert_fx(prepared))):
    files[name] = artifact(f"tensorflow/ptq_side_by_side/{len(files)}.pt")
    torch.save(module.state_dict(), files[name])
    logits[name] = predict(module, images)
    batch = torch.from_numpy(images[:100]).contiguous(memory_format=torch.channels_last)
    calls[name] = partial(copy.deepcopy(module), batch)  # a layer keeps its first shape's kernel
kernels = [node for node in module.graph.nodes if node.op.startswith("call")]
operators["PyTorch int8, FX"] = (len(kernels) - 2, 0)  # without quantize and dequantize

# %% onnxruntime
(options := onnxruntime.SessionOptions()).intra_op_num_threads = 1
float_onnx = artifact("conversion/pytorch_float_to_onnx_float/running_example.onnx")
int8_onnx = artifact("affine/quantized_models/int8.onnx")  # QDQ, U8S8, per channel
for name, path in (("ONNX Runtime float32", float_onnx), ("ONNX Runtime int8", int8_onnx)):
    session = onnxruntime.InferenceSession(path, options)
    files[name], (logits[name],) = path, session.run(None, {"images": images})
    calls[name] = partial(session.run, None, {"images": images[:100]})
(copied := artifact("tensorflow/ptq_side_by_side/int8.onnx")).write_bytes(int8_onnx.read_bytes())
kinds = onnx_kinds(copied, {"images": images[:1]}, dynamic=False)
operators["ONNX Runtime int8"] = (kinds.count("int8"), kinds.count("float"))

# %% tflite
nhwc = np.ascontiguousarray(images.transpose(0, 2, 3, 1))
TFLITE = {
    "TFLite float32": artifact("tensorflow/ptq/float32.tflite"),
    "TFLite int8, converter": artifact("tensorflow/ptq/int8_also_in_and_out.tflite"),
    "TFLite int8, AI Edge Quantizer": artifact("tensorflow/ptq_quantizer/static_wi8_ai8.tflite"),
}
for name, path in TFLITE.items():
    files[name], runner = path, Runner(path)
    logits[name] = runner(nhwc)
    calls[name] = partial(Runner(path).raw, runner.quantize(nhwc[:100]))
    integer = [operator.integer for operator in tflite_operators(path)]
    operators[name] = (sum(integer), len(integer) - sum(integer))

# %% results
from handbook import measure
from handbook.record import TIMING, table

with torch.inference_mode():
    times = measure.latency(calls)
rows = []
for name, run_logits in logits.items():
    own = next(other for other in logits if other.split()[0] == name.split()[0])  # its float32
    row = {"model": name} | measure.score(run_logits, labels, logits["PyTorch float32"])
    row["size KiB"] = round(measure.file_size_kib(files[name]))
    kinds = operators.get(name, ("", ""))
    row |= dict(zip(("integer operators", "float operators"), kinds, strict=True))
    rows.append(row | {"times as fast": measure.speedup(times[own], times[name])})
VNNI = "on a CPU without VNNI, ONNX Runtime's sums saturate and its graph may differ"
wide = dict.fromkeys(rows[0].keys() - {"model"}, 5) | {"times as fast": TIMING}
table("results", rows, tolerance=wide, because=VNNI)
if measure.has_int8_dot_product():
    assert all(row["accuracy %"] > rows[0]["accuracy %"] - 1 for row in rows)
    assert all(row["times as fast"] > 1 for row in rows if "TFLite int8" in row["model"])

# %% between
rows = []
for a, b in itertools.combinations([name for name in logits if "int8" in name], 2):
    rows.append({"model": a, "other": b, "same answer %": measure.agreement(logits[a], logits[b])})
table("between", rows, tolerance={"same answer %": 5}, because=VNNI)
