"""What quant_pre_process is for: a file whose batch normalization is still there.

The running example, exported in a form that can be trained on. Without preparation each batch
normalization runs in float, between two roundings; with it there is none left.
Source: onnxruntime.quantization.shape_inference.quant_pre_process.
"""

# %% load
import logging
import warnings
from collections import Counter

import onnx
import onnxruntime
import torch
from onnxruntime.quantization import QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from handbook.data import fashion_mnist
from handbook.onnx_kinds import onnx_kinds
from handbook.onnx_session import CalibrationImages, predict_onnx
from handbook.record import artifact, table
from handbook.running_example import load_running_example, predict

onnxruntime.set_default_logger_severity(3)  # a notice that an optimized graph fits this CPU only
logging.getLogger().setLevel(logging.ERROR)  # the advice to prepare the file: ptq_static_errors.py
warnings.filterwarnings("ignore", "You are using the legacy TorchScript-based ONNX export")
warnings.filterwarnings("ignore", "The feature will be removed")
test_images, labels = fashion_mnist("test")

# %% export
model = load_running_example()
exported_path = artifact("onnx/preparation/exported.onnx")
torch.onnx.export(
    model,
    (torch.from_numpy(test_images[:2]),),
    exported_path,
    input_names=["images"],
    dynamic_axes={"images": {0: "batch"}},
    training=torch.onnx.TrainingMode.PRESERVE,  # else the exporter folds the normalization
    do_constant_folding=False,
    dynamo=False,
)
prepared_path = artifact("onnx/preparation/prepared.onnx")
quant_pre_process(exported_path, prepared_path)

# %% results
from handbook.measure import SCORE_TOLERANCE, score

float_logits, rows = predict(model, test_images), []
for name, path in {"as exported": exported_path, "prepared": prepared_path}.items():
    int8_path = artifact("onnx/preparation/int8.onnx")
    types = {"activation_type": QuantType.QUInt8, "per_channel": True}
    quantize_static(path, int8_path, CalibrationImages(), **types)
    operators = Counter(node.op_type for node in onnx.load(path).graph.node)
    kinds = onnx_kinds(int8_path, {"images": test_images[:1]}, dynamic=False)
    row = {"file": name, "batch normalizations": operators["BatchNormalization"]}
    row |= {"integer nodes": kinds.count("int8"), "float nodes": kinds.count("float")}
    logits = predict_onnx(int8_path, test_images, x64quantprecision="1")
    rows.append(row | score(logits, labels, float_logits))
table("results", rows, **SCORE_TOLERANCE)
assert [row["batch normalizations"] for row in rows] == [10, 0]
assert rows[0]["float nodes"] > 10 > rows[1]["float nodes"]
