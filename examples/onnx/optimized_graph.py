"""Which nodes run in integers, read from the graph that ONNX Runtime executes.

The same model with uint8 and with int8 activations, which is the default. On x86 the default leaves
convolutions in float around every activation that is read twice.
Source: SessionOptions.optimized_model_filepath; the pass QDQS8ToU8Transformer of ONNX Runtime.
"""

# %% load
from collections import Counter
from platform import machine

import onnx
import onnxruntime

from handbook.data import fashion_mnist
from handbook.record import artifact

onnxruntime.set_default_logger_severity(3)  # a notice that an optimized graph fits this CPU only
images, labels = fashion_mnist("test")
float_path = artifact("onnx/ptq_static/prepared.onnx")
uint8_path = artifact("onnx/ptq_static/int8.onnx")
int8_path = artifact("onnx/ptq_static/QDQ-int8-activations.onnx")


# %% optimize
def load(path, **config):
    """A session, and the nodes that it executes."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.optimized_model_filepath = str(artifact("onnx/optimized_graph/optimized.onnx"))
    for key, value in config.items():
        options.add_session_config_entry(f"session.{key}", value)
    session = onnxruntime.InferenceSession(path, options)
    return session, onnx.load(options.optimized_model_filepath).graph.node


session, uint8_nodes = load(uint8_path)
print("uint8:", *(node.op_type for node in uint8_nodes if node.op_type != "Transpose"))
assert "Conv" not in [node.op_type for node in uint8_nodes]

# %% results
from functools import partial

from handbook.measure import has_int8_dot_product, latency, speedup
from handbook.record import TIMING, record, table

runs = {
    "float32": (float_path, {}),
    "uint8 activations": (uint8_path, {}),
    "int8 activations, the default": (int8_path, {}),
    "int8, session.qdqisint8allowed": (int8_path, {"qdqisint8allowed": "1"}),
    "uint8, session.disable_quant_qdq": (uint8_path, {"disable_quant_qdq": "1"}),
}
sessions, rows = {}, []
for name, (path, config) in runs.items():
    sessions[name], nodes = load(path, **config)
    count = Counter(node.op_type.removeprefix("Fused") for node in nodes)
    row = {"model": name, "QLinearConv": count["QLinearConv"], "Conv in float": count["Conv"]}
    row["Q and DQ"] = count["QuantizeLinear"] + count["DequantizeLinear"]
    rows.append(row)
calls = {name: partial(s.run, None, {"images": images[:8]}) for name, s in sessions.items()}
times = latency(calls)
for row in rows:
    row["times as fast as float"] = speedup(times["float32"], times[row["model"]])
wide = dict.fromkeys(("QLinearConv", "Conv in float", "Q and DQ"), 60)
tolerance = wide | {"times as fast as float": TIMING}
table("results", rows, tolerance=tolerance, because="what is fused depends on the kind of CPU")
fast = {row["model"]: row["times as fast as float"] for row in rows}
record(uint8_faster=fast["uint8 activations"], tolerance=TIMING)
x86 = machine() in ("x86_64", "AMD64")
if x86:  # on Arm, int8 is fused as it is
    assert [row["Conv in float"] for row in rows] == [10, 0, 4, 0, 10]
if x86 and has_int8_dot_product():
    assert fast["uint8 activations"] > 1.2 * fast["int8, session.qdqisint8allowed"]
    assert fast["uint8 activations"] > 1.2 * fast["int8 activations, the default"]
