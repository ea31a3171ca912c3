"""ONNX Runtime: dynamic quantization of convolutions, a default that hurts.

`quantize_dynamic` takes convolutions along. The running example with the defaults, with uint8
weights, without its convolutions, and static for comparison.
Source: onnxruntime.quantization.quantize_dynamic; issue 12854 of microsoft/onnxruntime.
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
onnxruntime.set_default_logger_severity(3)
test_images, labels = fashion_mnist("test")
prepared = artifact("affine/quantized_models/prepared.onnx")  # float, normalization folded

# %% quantize
SCHEMES = {
    "dynamic": {},
    "dynamic, uint8 weights": {"weight_type": QuantType.QUInt8},
    "dynamic, no convolutions": {"op_types_to_quantize": ["MatMul"]},
}
paths = {"float32": prepared}
for name, scheme in SCHEMES.items():
    file = name.replace(", ", "-").replace(" ", "_")
    paths[name] = artifact(f"onnx/ptq_dynamic_convolutions/{file}.onnx")
    quantize_dynamic(prepared, paths[name], **scheme)
paths["static, per channel"] = artifact("affine/quantized_models/int8.onnx")

# %% nodes
from collections import Counter

by_channel = artifact("onnx/ptq_dynamic_convolutions/per_channel.onnx")
quantize_dynamic(prepared, by_channel, per_channel=True)
graph = onnx.load(by_channel).graph
kinds = Counter(node.op_type for node in graph.node)
print("in the file:", dict(sorted(kinds.items())))
scales = [t for t in graph.initializer if t.name.endswith("weight_scale")]
print("scales of each weight, per channel:", *(max(int(np.prod(t.dims)), 1) for t in scales))
assert kinds["ConvInteger"] == 10 and all(not t.dims or t.dims[0] == 1 for t in scales)


# %% run
def load(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options)


def predict(session, batch):
    batches = np.split(test_images, len(test_images) // batch)
    return np.concatenate([session.run(None, {"images": images})[0] for images in batches])


sessions = {name: load(path) for name, path in paths.items()}
logits = {name: predict(session, 1) for name, session in sessions.items()}

# %% results
from functools import partial

from handbook.measure import SCORE_TOLERANCE, file_size_kib, latency, score, speedup
from handbook.onnx_kinds import onnx_kinds
from handbook.record import TIMING, record, table

feed = {"images": test_images[:1]}
times = latency({name: partial(s.run, None, feed) for name, s in sessions.items()})
rows = []
for name, path in paths.items():
    kinds = onnx_kinds(path, feed, dynamic=name.startswith("dynamic"))
    row = {"model": name} | score(logits[name], labels, logits["float32"])
    row |= {"size KiB": round(file_size_kib(path)), "int8 nodes": kinds.count("int8")}
    rows.append(row | {"times as fast": speedup(times["float32"], times[name])})
tolerance = {c: 3 for c in SCORE_TOLERANCE["tolerance"]} | {"size KiB": 2, "times as fast": TIMING}
table("results", rows, tolerance=tolerance, because=SCORE_TOLERANCE["because"])
by_name = {row["model"]: row for row in rows}
for name in ("dynamic", "dynamic, uint8 weights"):
    assert by_name[name]["accuracy %"] < by_name["static, per channel"]["accuracy %"] - 5
    assert by_name[name]["times as fast"] < 1  # five nodes in place of one
assert by_name["dynamic, no convolutions"]["same answer as float %"] > 99
slower = round(1 / by_name["dynamic"]["times as fast"], 1)
record(slower=slower, tolerance=TIMING)

# %% batch
together = predict(sessions["dynamic"], 500)
changed = (together.argmax(1) != logits["dynamic"].argmax(1)).sum()
print("images with another answer in a batch of 500:", changed)
record(changed=int(changed), tolerance=300, because="ranges of a batch, and images near a tie")
assert changed > 50
