"""Every combination of ONNX Runtime's static quantization, and dynamic, 16 and 4 bits beside it.

Accuracy, agreement with float, size, speed, and how many nodes run in integers. Left out: Entropy,
which by default records MinMax's ranges, and Distribution, which gives chance (calibration.py).
Source: onnxruntime.quantization; the optimized graph of each file.
"""

# %% load
import itertools
import logging
from contextlib import redirect_stdout
from functools import partial
from io import StringIO

import onnx
import onnxruntime
from onnx import version_converter
from onnxruntime import quantization
from onnxruntime.quantization import QuantType

from handbook.data import fashion_mnist
from handbook.onnx_session import CalibrationImages, predict_onnx, session
from handbook.record import artifact

logging.disable(logging.WARNING)  # "Please use QuantFormat.QDQ": ptq_static_errors.py
onnxruntime.set_default_logger_severity(3)  # a notice that an optimized graph fits this CPU only
test_images, labels = fashion_mnist("test")
prepared_path = artifact("onnx/ptq_static/prepared.onnx")
folder = artifact("onnx/combinations/ranges.json").parent

# %% quantize
TYPES = {  # activations, weights
    "U8S8": (QuantType.QUInt8, QuantType.QInt8),
    "S8S8": (QuantType.QInt8, QuantType.QInt8),
    "U8U8": (QuantType.QUInt8, QuantType.QUInt8),
    "U16U8": (QuantType.QUInt16, QuantType.QUInt8),
    "S16S8": (QuantType.QInt16, QuantType.QInt8),
    "U8S4": (QuantType.QUInt8, QuantType.QInt4),
}
EIGHT_BITS, OTHERS = ("U8S8", "S8S8", "U8U8"), ("U16U8", "S16S8", "U8S4")
GRANULARITIES, METHODS = ("channel", "tensor"), ("MinMax", "Percentile")
combinations = [*itertools.product(("QDQ", "QOperator"), EIGHT_BITS, GRANULARITIES, METHODS)]
combinations += [("QDQ", types, "channel", "MinMax") for types in OTHERS]
opset_21 = version_converter.convert_version(onnx.load(prepared_path), 21)  # 16 and 4 bits
paths = {("float32", "", "", ""): prepared_path}
for method in METHODS:
    (folder / f"{method}.json").unlink(missing_ok=True)
for format, types, granularity, method in combinations:
    path = folder / f"{format}-{types}-{granularity}-{method}.onnx"
    paths[format, types, granularity, method] = path
    with redirect_stdout(StringIO()):  # progress
        quantization.quantize_static(
            opset_21 if types in OTHERS else prepared_path,
            path,
            CalibrationImages(),
            quant_format=quantization.QuantFormat[format],
            activation_type=TYPES[types][0],
            weight_type=TYPES[types][1],
            per_channel=granularity == "channel",
            calibrate_method=quantization.CalibrationMethod[method],
            calibration_cache_path=folder / f"{method}.json",  # calibrated once
        )
for weights in ("S8", "U8"):
    paths["dynamic", weights, "tensor", ""] = path = folder / f"dynamic-{weights}.onnx"
    weight_type = QuantType.QInt8 if weights == "S8" else QuantType.QUInt8
    quantization.quantize_dynamic(prepared_path, path, weight_type=weight_type)

# %% run
from handbook.measure import SCORE_TOLERANCE, file_size_kib, latency, score, speedup
from handbook.onnx_kinds import onnx_kinds
from handbook.record import TIMING, record, table

feed = {"images": test_images[:8]}
times = latency({key: partial(session(p).run, None, feed) for key, p in paths.items()}, rounds=20)
rows, logits = [], {}
for key, path in paths.items():
    # It would make uint8 of the weights, and QGemm has no kernel for int8 times uint8.
    exact = {} if key[:2] == ("QOperator", "S8S8") else {"x64quantprecision": "1"}
    logits[key] = predict_onnx(path, test_images, **exact)
    kinds = onnx_kinds(path, feed, dynamic=key[0] == "dynamic")
    row = {"file": " ".join(key[:2]).strip(), "scale for each": key[2], "calibration": key[3]}
    row |= score(logits[key], labels, logits["float32", "", "", ""])
    row |= {"size KiB": round(file_size_kib(path)), "integer nodes": kinds.count("int8")}
    row["float nodes"] = kinds.count("float")
    rows.append(row | {"times as fast": speedup(times["float32", "", "", ""], times[key])})

# %% results
tolerance = dict.fromkeys(SCORE_TOLERANCE["tolerance"], 3) | {"size KiB": 2}
tolerance |= {"integer nodes": 8, "float nodes": 8, "times as fast": TIMING}
because = SCORE_TOLERANCE["because"] + "; what is fused depends on the kind of CPU"
table("results", rows, tolerance=tolerance, because=because)
by = {key: row for key, row in zip(paths, rows, strict=True)}
accurate = [by[k]["accuracy %"] for k in combinations if k[1] in EIGHT_BITS and k[2] == "channel"]
others = [by[k]["accuracy %"] for k in combinations if k[2] == "tensor"]
assert min(accurate) > 89 > 85 > max(others)  # the granularity decides, not format, types, method
for types, method in itertools.product(("U8S8", "S8S8"), METHODS):  # both formats, one arithmetic
    a, b = (logits[f, types, "channel", method].argmax(1) for f in ("QDQ", "QOperator"))
    assert (a == b).mean() > 0.995
record(combinations=len(combinations))
record(channel=min(accurate), tensor=max(others), tolerance=3, because=because)
