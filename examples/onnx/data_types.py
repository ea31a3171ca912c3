"""ONNX Runtime's data types, side by side.

Static quantization of the running example with 8 and 16 bits of activations, and 16, 8 and 4 bits
of weights, per channel: accuracy, size, latency, and how many nodes then run in integers.
Source: onnxruntime.quantization.quantize_static, QuantType.
"""

# %% load
import contextlib
import io
import logging

import numpy as np
import onnx
import onnxruntime
from onnx import version_converter
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantType,
    quantize_static,
)

from handbook.data import fashion_mnist
from handbook.record import artifact

logging.disable(logging.WARNING)  # it recommends the preparation that has been done
onnxruntime.set_default_logger_severity(3)
test_images, labels = fashion_mnist("test")
calibration_images = fashion_mnist("train")[0][:1000]
prepared = artifact("affine/quantized_models/prepared.onnx")  # float, normalization folded


class Reader(CalibrationDataReader):
    def __init__(self):
        self.batches = iter(np.split(calibration_images, 10))

    def get_next(self):
        batch = next(self.batches, None)
        return None if batch is None else {"images": batch}


# %% opset
path = artifact("onnx/data_types/opset21.onnx")  # the first whose quantization knows 16 and 4 bits
onnx.save(version_converter.convert_version(onnx.load(prepared), 21), path)

# %% quantize
TYPES = {  # activations, weights
    "U8U8": (QuantType.QUInt8, QuantType.QUInt8),
    "U8S8": (QuantType.QUInt8, QuantType.QInt8),
    "S8S8": (QuantType.QInt8, QuantType.QInt8),
    "U16U8": (QuantType.QUInt16, QuantType.QUInt8),
    "S16S8": (QuantType.QInt16, QuantType.QInt8),
    "U8S4": (QuantType.QUInt8, QuantType.QInt4),
    "FP8": (QuantType.QFLOAT8E4M3FN, QuantType.QFLOAT8E4M3FN),
}
paths = {"float32": path}
for name, (activations, weights) in TYPES.items():
    paths[name] = artifact(f"onnx/data_types/{name}.onnx")
    options = {"activation_type": activations, "weight_type": weights, "per_channel": True}
    if name == "FP8":
        options["calibrate_method"] = CalibrationMethod.Distribution  # no other is accepted
    with contextlib.redirect_stdout(io.StringIO()):  # it tells what it collects
        quantize_static(path, paths[name], Reader(), **options)


# %% run
def load(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options)


sessions = {name: load(path) for name, path in paths.items()}
batches = [{"images": batch} for batch in np.split(test_images, 100)]
logits = {n: np.concatenate([s.run(None, b)[0] for b in batches]) for n, s in sessions.items()}

# %% results
from functools import partial

from handbook.measure import SCORE_TOLERANCE, file_size_kib, latency, score, speedup
from handbook.onnx_kinds import onnx_kinds
from handbook.record import TIMING, table

feed = {"images": test_images[:32]}
times = latency({name: partial(s.run, None, feed) for name, s in sessions.items()}, rounds=20)
rows = []
for name, path in paths.items():
    kinds = onnx_kinds(path, feed, dynamic=False)  # of the nodes of the optimized graph
    row = {"types": name} | score(logits[name], labels, logits["float32"])
    row |= {"size KiB": round(file_size_kib(path))}
    row |= {"integer nodes": kinds.count("int8"), "float nodes": kinds.count("float")}
    rows.append(row | {"times as fast": speedup(times["float32"], times[name])})
tolerance = {c: 2 for c in SCORE_TOLERANCE["tolerance"]} | {"size KiB": 2, "times as fast": TIMING}
table("results", rows, tolerance=tolerance, because=SCORE_TOLERANCE["because"])
by = {row["types"]: row for row in rows}
assert by["U8S8"]["float nodes"] == by["U8U8"]["float nodes"] == 1  # the mean
assert by["U16U8"]["integer nodes"] == by["S16S8"]["integer nodes"] == 0
assert by["U8S4"]["accuracy %"] < by["U8S8"]["accuracy %"] - 1
assert by["FP8"]["accuracy %"] < 20
