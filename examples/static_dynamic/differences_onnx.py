"""The running example in ONNX Runtime: static, dynamic and weight-only.

Accuracy, size and latency; and how many scales the weights have. differences_onnx_weights.py makes
the weight-only file.
Source: quantize_dynamic of onnxruntime.quantization; the operator DequantizeLinear of ONNX.
"""

# %% load
import logging

import numpy as np
import onnx
import onnxruntime
from onnxruntime.quantization import QuantType, quantize_dynamic

from handbook.data import fashion_mnist
from handbook.record import artifact

logging.disable(logging.WARNING)  # it recommends the preparation that has been done
test_images, labels = fashion_mnist("test")
prepared = artifact("affine/quantized_models/prepared.onnx")  # float, normalization folded
dynamic_path = artifact("static_dynamic/differences_onnx/dynamic.onnx")

# %% dynamic
quantize_dynamic(prepared, dynamic_path, weight_type=QuantType.QUInt8, per_channel=True)


# %% run
def load(path, **config):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    for key, value in config.items():
        options.add_session_config_entry(f"session.{key}", value)
    return onnxruntime.InferenceSession(path, options)


paths = {
    "float32": prepared,
    "static": artifact("affine/quantized_models/int8.onnx"),
    "dynamic": dynamic_path,
    "weight-only": artifact("static_dynamic/differences_onnx_weights/weight_only.onnx"),
}
# Exact products also on x86 without VNNI; saturating ones are another page's subject.
exact = {name: load(path, x64quantprecision="1") for name, path in paths.items()}


def predict(session, batch_size):
    batches = np.split(test_images, len(test_images) // batch_size)
    return np.concatenate([session.run(None, {"images": batch})[0] for batch in batches])


logits = {name: predict(session, 1000) for name, session in exact.items()}
logits["dynamic"] = predict(exact["dynamic"], 1)  # a range for each image, not for a batch

# %% results
from functools import partial

from handbook.measure import SCORE_TOLERANCE, file_size_kib, latency, score, speedup
from handbook.record import TIMING, record, table

fast = {name: load(path) for name, path in paths.items()}  # the default kernels
times = {}
for count in (1, 32):
    feed = {"images": test_images[:count]}
    times[count] = latency({n: partial(s.run, None, feed) for n, s in fast.items()}, rounds=30)
rows = []
for name, path in paths.items():
    row = {"model": name} | score(logits[name], labels, logits["float32"])
    row["size KiB"] = file_size_kib(path)
    for count, of in times.items():
        row[f"times as fast, {count} at once"] = speedup(of["float32"], of[name])
    rows.append(row)
timing = {column: TIMING for column in rows[0] if column.startswith("times")}
tolerance = {c: 3 for c in SCORE_TOLERANCE["tolerance"]} | {"size KiB": 1} | timing
table("results", rows, tolerance=tolerance, because=SCORE_TOLERANCE["because"])
float32, static, dynamic, weight_only = rows
assert min(static["accuracy %"], weight_only["accuracy %"]) > float32["accuracy %"] - 1
assert dynamic["accuracy %"] < float32["accuracy %"] - 5
assert dynamic["times as fast, 1 at once"] < 1  # on any CPU: five operators in place of one
assert weight_only["times as fast, 1 at once"] < 1  # weights go back to float for every input
record(dynamic_slower=round(1 / dynamic["times as fast, 1 at once"], 1), tolerance=TIMING)

# %% per_tensor
model = onnx.load(dynamic_path)
scales = [tensor for tensor in model.graph.initializer if tensor.name.endswith("weight_scale")]
print("scales of each weight:", [max(onnx.numpy_helper.to_array(t).size, 1) for t in scales])
