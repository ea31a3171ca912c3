"""One quantized model in three runtimes: PyTorch, ONNX Runtime and TFLite.

The network of FX quantization aware training, with uint8 activations in PyTorch and ONNX Runtime
and int8 in TFLite, the same parameters everywhere; outputs are compared pair by pair.
Source: our own measurement, with PyTorch 2.13, ONNX Runtime 1.32 and LiteRT 2.3.
"""

# %% load
import logging
import warnings

import onnx
import onnxruntime
import torch

from handbook.data import fashion_mnist
from handbook.record import artifact
from handbook.running_example import predict

logging.disable(logging.WARNING)  # torchao mentions the GPU kernels that it does not find
warnings.simplefilter("ignore")  # deprecation notices of FX mode, and of its tensor types
from torch.ao.quantization.quantize_fx import convert_fx

from handbook import export, to_tflite
from handbook.fx_qat import load_fx_qat

onnxruntime.set_default_logger_severity(3)  # it warns that the optimized graph is for this CPU
torch.set_num_threads(1)
torch.backends.quantized.engine = "onednn"
test_images, labels = fashion_mnist("test")
example_inputs = (torch.from_numpy(test_images[:2].copy()),)
any_batch = ({0: torch.export.Dim("batch")},)

# %% one_model
trained = load_fx_qat(artifact("pytorch/export/fx_qat_to_pt2e_qat/trained.pt"))
uint8 = export.fx_prepared_to_pt2e(trained, example_inputs, any_batch)
uint8 = to_tflite.round_biases(uint8)  # what int32 holds, so that all three add the same numbers
reference = predict(uint8, test_images)  # float arithmetic between rounding steps

# %% pytorch
quantized = convert_fx(trained)
layers = [layer for layer in quantized.modules() if hasattr(layer, "weight")]
for layer, bias in zip(layers, to_tflite.biases(uint8), strict=True):
    layer.set_weight_bias(layer.weight(), bias)

# %% onnx
path = artifact("conversion/three_runtimes/int8.onnx")
settings = {"input_names": ["images"], "output_names": ["logits"]}
settings |= {"dynamic_shapes": any_batch, "external_data": False, "verbose": False}
torch.onnx.export(uint8, example_inputs, path, **settings)
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(path, options)

# %% integers
from handbook.onnx_kinds import onnx_kinds

tflite_path = artifact("conversion/fx_qat_to_tflite/int8.tflite")
kinds, tflite = onnx_kinds(path, {"images": test_images[:1]}, False), to_tflite.columns(tflite_path)
print("ONNX Runtime: in integers", kinds.count("int8"), "in float", kinds.count("float"))
print("TFLite: in integers", tflite["integer operators"], "in float", tflite["float operators"])
in_float = [node.op_type for node in onnx.load(path.with_name("optimized.onnx")).graph.node]
print("ONNX Runtime's mean:", [name for name in in_float if "Mean" in name])
assert kinds.count("float") == 1 and "ReduceMean" in in_float and tflite["float operators"] == 0

# %% results
from itertools import combinations

from handbook.conversions import parity
from handbook.measure import has_int8_dot_product
from handbook.record import record, table

scale = to_tflite.output_scale(tflite_path)
logits = {
    "reference": reference,
    "PyTorch": predict(quantized, test_images),
    "ONNX Runtime": session.run(None, {"images": test_images})[0],
    "TFLite": to_tflite.run(tflite_path, test_images),
}
rows, pairs = [], list(combinations(logits, 2))
for a, b in pairs:
    row = parity(logits[b], logits[a], labels, scale)
    columns = ("identical outputs %", "largest difference", "same answer %")
    rows.append({"pair": f"{a}, {b}"} | {column: row[column] for column in columns})
wide = {"identical outputs %": 5, "largest difference": 2, "same answer %": 1}
table("results", rows, tolerance=wide, because="int8 kernels round ties apart")
for (a, b), row in zip(pairs, rows, strict=True):
    if has_int8_dot_product() or {a, b} == {"reference", "TFLite"}:  # without, sums saturate
        assert int(row["largest difference"].split()[0]) <= 2 and row["same answer %"] >= 99.5
record(outputs=reference.size)
record(least=min(row["same answer %"] for row in rows), tolerance=0.5, because="as for the table")
