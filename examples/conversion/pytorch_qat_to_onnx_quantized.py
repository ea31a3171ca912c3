"""FX quantization aware training to quantized ONNX, with every learned parameter.

The trained model is exported in its decomposed form. All scales and zero points in the file are
compared with those of the fake quantizers, and all test images go through ONNX Runtime.
Source: torch.onnx.export of PyTorch 2.13, dynamo=True; run with ONNX Runtime 1.32.
"""

# %% load
import logging
import warnings

import onnx
import onnxruntime
import torch

logging.disable(logging.WARNING)  # the exporter and torchao mention packages that they do not find
from handbook import export
from handbook.data import fashion_mnist
from handbook.fx_qat import load_fx_qat
from handbook.record import artifact
from handbook.running_example import load_running_example, predict

warnings.simplefilter("ignore")  # deprecation notices of FX mode, and of PyTorch's own pytree
onnxruntime.set_default_logger_severity(3)  # it warns that the optimized graph is for this CPU
torch.set_num_threads(1)
test_images, labels = fashion_mnist("test")
example_inputs = (torch.from_numpy(test_images[:2].copy()),)
any_batch = ({0: torch.export.Dim("batch")},)
trained = load_fx_qat(artifact("pytorch/export/fx_qat_to_pt2e_qat/trained.pt"))

# %% export
from handbook.to_onnx import round_exported_biases, tidy

exported = export.fx_prepared_to_pt2e(trained, example_inputs, any_batch)
exported = round_exported_biases(exported)  # to what int32 holds
path = artifact("conversion/pytorch_qat_to_onnx_quantized/int8.onnx")
settings = {"input_names": ["images"], "dynamic_shapes": any_batch}
settings |= {"external_data": False, "verbose": False}
torch.onnx.export(exported, example_inputs, path, **settings)
tidy(path)  # the exporter's notes, and zero points that weights share
float_path = path.with_name("float.onnx")
torch.onnx.export(load_running_example(), example_inputs, float_path, **settings)

# %% parameters
from handbook.record import record, table

graph, rows = onnx.load(path).graph, []
constants = {each.name: onnx.numpy_helper.to_array(each) for each in graph.initializer}
quantize = [node for node in graph.node if node.op_type == "QuantizeLinear"]
dequantize = [node for node in graph.node if node.op_type == "DequantizeLinear"]
fake = [node for node in trained.graph.nodes if "activation_post_process" in node.name]
for node, onnx_node in zip(fake, quantize, strict=True):
    scale, zero_point = trained.get_submodule(node.target).calculate_qparams()
    found = [constants[name].item() for name in onnx_node.input[1:3]]
    assert [scale.item(), zero_point.item()] == found
    row = {"fake quantizer of": node.args[0].name, "scale": scale.item()}
    row |= {"zero point": zero_point.item(), "ONNX tensor": onnx_node.input[0]}
    rows.append(row | {"scale in ONNX": found[0], "zero point in ONNX": found[1]})
columns = {"scale": 0.1, "scale in ONNX": 0.1, "zero point": 20, "zero point in ONNX": 20}
ELSEWHERE = "training on another CPU ends elsewhere"
table("parameters", rows, tolerance=columns, because=ELSEWHERE)

# %% weights
layers = [m for m in trained.modules() if hasattr(m, "weight_fake_quant")]
weights = [node for node in dequantize if node.input[0] in constants]
for layer, node in zip(layers, weights, strict=True):
    scale, zero_point = layer.weight_fake_quant.calculate_qparams()
    assert (constants[node.input[1]] == scale.numpy()).all()
    assert (constants[node.input[2]] == zero_point.numpy()).all()
record(activations=len(quantize), scales=sum(len(constants[n.input[1]]) for n in weights))

# %% results
from handbook.conversions import conversions, parity
from handbook.measure import file_size_kib, latency, speedup
from handbook.onnx_kinds import onnx_kinds
from handbook.onnx_session import predict_onnx, session

feed = {"images": test_images[:32]}
sessions = {each.stem: session(each) for each in (float_path, path)}
times = latency({n: lambda s=s: s.run(None, feed) for n, s in sessions.items()}, rounds=20)
kinds = onnx_kinds(path, feed, dynamic=False)
found = predict_onnx(path, test_images, x64quantprecision="1")  # exact sums, without VNNI too
row = parity(found, predict(exported, test_images), labels, rows[-1]["scale"])
row |= {"equal parameters %": 100.0, "size KiB": file_size_kib(path)}
row |= {"integer operators": kinds.count("int8"), "float operators": kinds.count("float")}
row["speedup"] = speedup(times["float"], times["int8"])
edge = ("PyTorch FX, QAT", "ONNX, int8", "decomposed, torch.onnx.export")
conversions({edge: row}, because=ELSEWHERE)
assert row["same answer %"] >= 99.5 and kinds.count("float") == 1  # the mean
assert row["largest difference"] in ("0 LSB", "1 LSB", "2 LSB")
record(float_kib=file_size_kib(float_path), tolerance=2, because="it names the exporter's version")
