"""Static quantization of an ONNX file.

The exported running example, prepared, calibrated and quantized; what runs in integers then.
Source: onnxruntime.quantization.quantize_static.
"""

# %% load
import numpy as np
import onnx
import onnxruntime

from handbook.data import fashion_mnist
from handbook.record import artifact

onnxruntime.set_default_logger_severity(3)  # a notice that an optimized graph fits this CPU only
float_path = artifact("conversion/pytorch_float_to_onnx_float/running_example.onnx")
calibration_images = fashion_mnist("train")[0][:1000]
test_images, labels = fashion_mnist("test")

# %% prepare
from onnxruntime.quantization.shape_inference import quant_pre_process

prepared_path = artifact("onnx/ptq_static/prepared.onnx")
quant_pre_process(float_path, prepared_path)
model = onnx.load(prepared_path)
print(*(node.op_type for node in model.graph.node))
for part in (model.graph, *model.graph.node, *model.graph.value_info):
    del part.metadata_props[:]  # the exporter's stack traces, which would stay in the int8 file
onnx.save(model, prepared_path)

# %% reader
from onnxruntime.quantization import CalibrationDataReader


class Reader(CalibrationDataReader):
    def __init__(self):
        self.batches = iter(np.split(calibration_images, 10))  # all of one size

    def get_next(self):
        batch = next(self.batches, None)
        return None if batch is None else {"images": batch}  # by the name of the graph's input


# %% quantize
from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

path = artifact("onnx/ptq_static/int8.onnx")
quantize_static(
    prepared_path,
    path,
    Reader(),  # read to its end: a second quantization takes a new one
    quant_format=QuantFormat.QDQ,
    activation_type=QuantType.QUInt8,
    weight_type=QuantType.QInt8,
    per_channel=True,
    calibrate_method=CalibrationMethod.MinMax,
)

# %% others
others = {
    "QOperator": {"quant_format": QuantFormat.QOperator, "activation_type": QuantType.QUInt8},
    "QDQ, int8 activations": {"activation_type": QuantType.QInt8},  # the default type
    "QDQ, one scale per weight": {"activation_type": QuantType.QUInt8, "per_channel": False},
}
paths = {"float32": prepared_path, "QDQ": path}
for name, options in others.items():
    paths[name] = artifact(f"onnx/ptq_static/{name.replace(',', '').replace(' ', '-')}.onnx")
    quantize_static(prepared_path, paths[name], Reader(), **{"per_channel": True} | options)

# %% results
from handbook.measure import SCORE_TOLERANCE, file_size_kib, score
from handbook.onnx_kinds import onnx_kinds
from handbook.onnx_session import predict_onnx
from handbook.record import record, table

# Sums that are exact also on an x86 CPU without VNNI: no_vnni.py
logits = {n: predict_onnx(file, test_images, x64quantprecision="1") for n, file in paths.items()}
rows = []
for name, file in paths.items():
    kinds = onnx_kinds(file, {"images": test_images[:1]}, dynamic=False)
    row = {"file": name} | score(logits[name], labels, logits["float32"])
    row |= {"size KiB": file_size_kib(file), "integer nodes": kinds.count("int8")}
    rows.append(row | {"float nodes": kinds.count("float")})
float32, qdq, qoperator, int8, per_tensor = rows
nodes = dict.fromkeys(("integer nodes", "float nodes"), 8)
tolerance = dict.fromkeys(SCORE_TOLERANCE["tolerance"], 2) | {"size KiB": 2} | nodes
BECAUSE = SCORE_TOLERANCE["because"] + "; which nodes are fused depends on the CPU"
table("results", rows, tolerance=tolerance, because=BECAUSE)
assert min(row["accuracy %"] for row in (qdq, qoperator, int8)) > float32["accuracy %"] - 1
assert per_tensor["accuracy %"] < float32["accuracy %"] - 10
assert qdq["integer nodes"] == qoperator["integer nodes"] == 13 and qdq["float nodes"] == 1
record(qdq=qdq["accuracy %"], per_tensor=per_tensor["accuracy %"], tolerance=2, because=BECAUSE)

# %% edge
from handbook.conversions import conversions, parity

edge = ("ONNX, float", "ONNX, int8", "quantize_static")
row = parity(logits["QDQ"], logits["float32"], labels) | {"size KiB": qdq["size KiB"]}
row |= {"integer operators": 13, "float operators": 1}
conversions({edge: row}, because=BECAUSE)
