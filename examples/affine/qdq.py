"""QuantizeLinear and DequantizeLinear, and what a runtime makes of them.

int8.onnx holds float operators between pairs of QuantizeLinear and DequantizeLinear. ONNX Runtime
replaces them by integer operators as it loads the file: the operators before and after, and the
logits of both on all test images.
Source: onnxruntime.SessionOptions.optimized_model_filepath.
"""

# %% load
from collections import Counter

import onnx
import onnxruntime

from handbook.record import artifact

path = artifact("affine/quantized_models/int8.onnx")
graph = onnx.load(path).graph
stored, constants = graph.node, graph.initializer

# %% fuse
fused_path = artifact("affine/qdq/fused.onnx")
options = onnxruntime.SessionOptions()
options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
options.optimized_model_filepath = str(fused_path)
onnxruntime.InferenceSession(path, options)
fused = onnx.load(fused_path).graph.node
print(*(node.op_type for node in fused))

# %% operators
from handbook.record import table

before, after = (Counter(node.op_type for node in nodes) for nodes in (stored, fused))
rows = [
    {"operator": name, "in the file": before[name], "as executed": after[name]}
    for name in sorted(before | after, key=lambda name: (name in after, name))
]
table("operators", rows)
assert after["QLinearConv"] == before["Conv"] and not after["Conv"]
assert after["QuantizeLinear"] + after["DequantizeLinear"] == 4  # ends, and around ReduceMean

# %% compare
import numpy as np

from handbook.data import fashion_mnist
from handbook.measure import agreement, lsb_difference
from handbook.record import record

test_images, _ = fashion_mnist("test")


def logits(level, **config):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = level
    for key, value in config.items():
        options.add_session_config_entry(f"session.{key}", value)
    session = onnxruntime.InferenceSession(path, options)
    batches = np.split(test_images, 20)
    return np.concatenate([session.run(None, {"images": batch})[0] for batch in batches])


levels = onnxruntime.GraphOptimizationLevel
in_floats = logits(levels.ORT_DISABLE_ALL)  # dequantizes, computes in float32, quantizes
in_integers = logits(levels.ORT_ENABLE_ALL, x64quantprecision="1")
(scale,) = (onnx.numpy_helper.to_array(c) for c in constants if c.name == "logits_scale")
identical = round(100 * float((in_floats == in_integers).mean()), 2)
largest = lsb_difference(in_floats, in_integers, scale)
same_class = agreement(in_floats, in_integers)
print(f"identical: {identical} %, largest difference: {largest} LSB, same class: {same_class} %")
assert identical > 99 and largest <= 1 and same_class > 99.9
record(identical=identical, same_class=same_class, tolerance=0.2, because="float32 sums differ")
record(largest=largest)
