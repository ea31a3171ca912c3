"""ONNX Runtime with 16 bits: int16 activations, int16 weights, and float16.

The exported model, quantized five ways: accuracy, size, latency, and what the runtime makes of the
graph.
Source: onnxruntime.quantization.quantize_static; onnxruntime.transformers.float16.
"""

# %% load
import logging

import numpy as np
import onnx
import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
from onnxruntime.transformers.float16 import convert_float_to_float16

from handbook.data import fashion_mnist
from handbook.record import artifact

logging.getLogger().setLevel(logging.ERROR)  # the notice of the opset: sixteen_bit_onnx_errors.py
images, labels = fashion_mnist("test")
calibration_images = fashion_mnist("train")[0][:1000]
float_path = artifact("conversion/pytorch_float_to_onnx_float/running_example.onnx")


class Reader(CalibrationDataReader):
    def __init__(self):
        self.batches = iter(np.split(calibration_images, 10))

    def get_next(self):
        batch = next(self.batches, None)
        return None if batch is None else {"images": batch}


# %% quantize
SCHEMES = {  # activations, weights, one scale for each channel
    "int16 x int8": (QuantType.QInt16, QuantType.QInt8, True),
    "int16 x int8, per tensor": (QuantType.QInt16, QuantType.QInt8, False),
    "int16 x int16": (QuantType.QInt16, QuantType.QInt16, True),
    "int16 x int16, per tensor": (QuantType.QInt16, QuantType.QInt16, False),
}
paths = {"float32": float_path, "float16": artifact("affine/sixteen_bit_onnx/float16.onnx")}
for name, (activations, weights, per_channel) in SCHEMES.items():
    paths[name] = artifact(f"affine/sixteen_bit_onnx/{name.replace(', ', '-')}.onnx")
    quantize_static(
        float_path,
        paths[name],
        Reader(),
        activation_type=activations,
        weight_type=weights,
        per_channel=per_channel,
    )
half = convert_float_to_float16(onnx.load(float_path), keep_io_types=True)
onnx.save(half, paths["float16"])

# %% run
sessions, operators = {}, {}
for name, path in paths.items():
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    options.optimized_model_filepath = str(artifact("affine/sixteen_bit_onnx/optimized.onnx"))
    sessions[name] = onnxruntime.InferenceSession(path, options)
    graph = onnx.load(options.optimized_model_filepath).graph
    kinds = {"Conv", "QLinearConv"}  # float arithmetic, or integer arithmetic
    operators[name] = " ".join(sorted({node.op_type for node in graph.node} & kinds))
logits = {name: session.run(None, {"images": images})[0] for name, session in sessions.items()}

# %% results
from functools import partial

from handbook.measure import SCORE_TOLERANCE, file_size_kib, latency, score, speedup
from handbook.record import TIMING, record, table

one_image = {"images": images[:1]}
times = latency({name: partial(s.run, None, one_image) for name, s in sessions.items()})
rows = []
for name in paths:
    row = {"activations x weights": name, "convolutions run as": operators[name]}
    row |= score(logits[name], labels, logits["float32"])
    row["size KiB"] = round(file_size_kib(paths[name]))
    rows.append(row | {"latency, float32 = 1": speedup(times[name], times["float32"])})
tolerance = SCORE_TOLERANCE["tolerance"] | {"size KiB": 1, "latency, float32 = 1": TIMING}
table("results", rows, tolerance=tolerance, because=SCORE_TOLERANCE["because"])
by_name = {row["activations x weights"]: row for row in rows}
record(int16_slower=by_name["int16 x int8"]["latency, float32 = 1"], tolerance=TIMING)
assert by_name["int16 x int8"]["convolutions run as"] == "Conv"  # float, between integers
assert by_name["int16 x int8, per tensor"]["accuracy %"] < 75  # 16 bits: of the wrong tensor
assert by_name["int16 x int16, per tensor"]["accuracy %"] > 90
assert by_name["int16 x int16"]["same answer as float %"] > 99.9
