"""PyTorch's two exporters to ONNX, with the same result.

The default exporter's file, and one of the older exporter: operators, logits of all 10 000 test
images, size.
Source: torch.onnx.export (PyTorch 2.13 documentation).
"""

# %% load
import warnings

import onnx
import onnxruntime
import torch

from handbook.data import fashion_mnist
from handbook.record import artifact
from handbook.running_example import load_running_example, predict

model = load_running_example()  # in eval mode
test_images, labels = fashion_mnist("test")
path = artifact("conversion/pytorch_float_to_onnx_float/running_example.onnx")

# %% torchscript
old_path = artifact("conversion/onnx_exporters/torchscript.onnx")
with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # the exporter's own
    torch.onnx.export(
        model,
        (torch.from_numpy(test_images[:2]),),
        old_path,
        input_names=["images"],
        dynamic_axes={"images": {0: "batch"}},  # its way to say dynamic_shapes
        opset_version=onnx.load(path).opset_import[0].version,
        dynamo=False,
    )
operators = [node.op_type for node in onnx.load(old_path).graph.node]
print({operator: operators.count(operator) for operator in sorted(set(operators))})
assert "BatchNormalization" not in operators

# %% edges
from handbook.conversions import conversions, parity
from handbook.measure import file_size_kib

torch_logits, rows = predict(model, test_images), {}
for way, file in {"torch.onnx.export": path, "torch.onnx.export, dynamo=False": old_path}.items():
    (logits,) = onnxruntime.InferenceSession(file).run(None, {"images": test_images})
    row = parity(logits, torch_logits, labels) | {"size KiB": file_size_kib(file)}
    rows["PyTorch eager, float", "ONNX, float", way] = row
conversions(rows, because="float32 sums in another order on another CPU")
assert all(row["same answer %"] == 100 for row in rows.values())
