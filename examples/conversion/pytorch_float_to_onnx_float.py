"""PyTorch float to ONNX float.

The running example is exported with a batch of any size, checked, and compared with PyTorch on all
10 000 test images in ONNX Runtime: logits, accuracy, size and latency.
Source: torch.onnx.export (PyTorch 2.13 documentation).
"""

# %% load
import logging
import warnings

import onnx
import onnxruntime
import torch

from handbook.data import fashion_mnist
from handbook.record import artifact
from handbook.running_example import load_running_example

# The exporter says that torchvision's operators are skipped; this network uses none.
logging.getLogger("torch.onnx").setLevel(logging.ERROR)
warnings.filterwarnings("ignore", "`isinstance.treespec, LeafSpec.` is deprecated")

model = load_running_example()  # in eval mode
test_images, labels = fashion_mnist("test")

# %% export
path = artifact("conversion/pytorch_float_to_onnx_float/running_example.onnx")
example_inputs = (torch.from_numpy(test_images[:2]),)
batch = torch.export.Dim("batch")
torch.onnx.export(
    model,
    example_inputs,
    path,
    input_names=["images"],
    output_names=["logits"],
    dynamic_shapes=({0: batch},),
    external_data=False,  # weights inside the file
    verbose=False,
)

# %% check
onnx_model = onnx.load(path)
onnx.checker.check_model(onnx_model, full_check=True)
operators = [node.op_type for node in onnx_model.graph.node]
opset = onnx_model.opset_import[0].version
print("opset", opset)
print({operator: operators.count(operator) for operator in sorted(set(operators))})
assert "BatchNormalization" not in operators  # folded into the convolutions

# %% run
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
(onnx_logits,) = session.run(["logits"], {"images": test_images})
print(session.get_inputs()[0].shape, "->", session.get_outputs()[0].shape, onnx_logits.shape)

# %% compare
from handbook.measure import SCORE_TOLERANCE, file_size_kib, score
from handbook.record import TIMING, record, table
from handbook.running_example import predict

torch_logits = predict(model, test_images)
rows = [
    {"runtime": "PyTorch"} | score(torch_logits, labels, torch_logits),
    {"runtime": "ONNX Runtime"} | score(onnx_logits, labels, torch_logits),
]
table("parity", rows, **SCORE_TOLERANCE)
assert rows[1]["same answer as float %"] == 100

difference = float(abs(onnx_logits - torch_logits).max())
print(f"largest difference of a logit: {difference:.1e}")
assert difference < 1e-4
record(difference=difference, tolerance=1e-4, because="kernels sum in another order")
record(size_kib=file_size_kib(path), tolerance=1, because="the file names the exporter's version")
record(opset=opset)

# %% latency
from handbook.measure import latency, speedup

image = test_images[:1]
calls = {
    "PyTorch": lambda: model(torch.from_numpy(image)),
    "ONNX Runtime": lambda: session.run(None, {"images": image}),
}
with torch.inference_mode():
    times = latency(calls)
torch_time, onnx_time = times["PyTorch"], times["ONNX Runtime"]
record(torch_ms=torch_time.median_ms, onnx_ms=onnx_time.median_ms, tolerance=TIMING)
record(speedup=speedup(torch_time, onnx_time), tolerance=TIMING)
