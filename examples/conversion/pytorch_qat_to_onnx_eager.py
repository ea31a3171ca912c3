"""Eager quantization aware training to ONNX: the converted model, and the fake-quantized one.

Both files hold the learned parameters. One runs in integers; the other looks exact, and is a float
network that also rounds: the optimized graph of ONNX Runtime tells them apart.
Source: torch.onnx.export of PyTorch 2.13, dynamo=False; run with ONNX Runtime 1.32.
"""

# %% load
import logging
import warnings
from collections import Counter

import onnx
import onnxruntime
import torch
from torch.ao.quantization import FakeQuantize, convert, fuse_modules_qat, prepare_qat
from torch.ao.quantization.fake_quantize import disable_observer

from handbook.data import fashion_mnist
from handbook.eager_example import load_eager_example, modules_to_fuse
from handbook.fx_qat import qat_mapping
from handbook.qat import train
from handbook.record import artifact
from handbook.running_example import predict

logging.disable(logging.WARNING)  # of torchao, on the GPU kernels that it does not find
warnings.simplefilter("ignore")  # deprecation notices of eager mode, and of the exporter
onnxruntime.set_default_logger_severity(3)  # it warns that the optimized graph is for this CPU
torch.set_num_threads(1)
torch.backends.quantized.engine = "qnnpack"  # its kernels have biases in int32, as ONNX has
test_images, labels = fashion_mnist("test")
images = torch.from_numpy(test_images[:2].copy())

# %% train
model = load_eager_example().train()
fused = fuse_modules_qat(model, modules_to_fuse(model))
fused.qconfig = qat_mapping().global_qconfig  # plain FakeQuantize, all 8 bits
trained = train(prepare_qat(fused), seed=0, rate=0.001, count=1024)  # 8 batches
trained.apply(disable_observer)

# %% export
from handbook.to_onnx import round_biases

old = {"dynamo": False, "opset_version": 17, "input_names": ["images"]}
old["dynamic_axes"] = {"images": {0: "batch"}}
quantized = round_biases(convert(trained), images)  # the exporter would cut digits off
paths = {n: artifact(f"conversion/pytorch_qat_to_onnx_eager/{n}.onnx") for n in ("int8", "fake")}
torch.onnx.export(quantized, (images,), paths["int8"], **old)
torch.onnx.export(trained, (images,), paths["fake"], **old)  # it looks like a shortcut
for name, path in paths.items():
    operators = Counter(node.op_type for node in onnx.load(path).graph.node)
    print(name, *(f"{kind}: {operators[kind]}" for kind in ("QuantizeLinear", "Conv", "Div")))

# %% parameters
from handbook.to_onnx import onnx_parameters

fakes = [m for m in trained.modules() if isinstance(m, FakeQuantize)]
learned = {tuple(x.item() for x in f.calculate_qparams()) for f in fakes if not f.is_per_channel}
learned |= {(s.item(),) for f in fakes if f.is_per_channel for s in f.calculate_qparams()[0]}
assert onnx_parameters(paths["int8"]) == learned  # all scales and zero points
print(len(learned), "different ones, all in the file")

# %% results
from handbook.conversions import conversions, parity
from handbook.measure import file_size_kib, latency, speedup
from handbook.onnx_kinds import onnx_kinds
from handbook.onnx_session import predict_onnx, session

feed, edges = {"images": test_images[:32]}, {}
float_path = artifact("conversion/pytorch_float_to_onnx_float/running_example.onnx")
sessions = {path: session(path) for path in (float_path, *paths.values())}
times = latency({p: lambda s=s: s.run(None, feed) for p, s in sessions.items()}, rounds=20)
ways = {"int8": ("ONNX, int8", "convert, torch.onnx.export, dynamo=False", quantized)}
ways["fake"] = ("ONNX, QAT", "torch.onnx.export of fake quantizers, dynamo=False", trained)
exact = {"int8": {"x64quantprecision": "1"}, "fake": {}}  # exact sums, without VNNI too
for name, (want, way, source) in ways.items():
    found = predict_onnx(paths[name], test_images, **exact[name])
    row = parity(found, predict(source, test_images), labels, quantized.classifier.scale)
    kinds = onnx_kinds(paths[name], feed, dynamic=False)
    row |= {"integer operators": kinds.count("int8"), "float operators": kinds.count("float")}
    row |= {"size KiB": file_size_kib(paths[name])}
    row["speedup"] = speedup(times[float_path], times[paths[name]])
    edges["PyTorch eager, QAT", want, way] = row
edges[next(iter(edges))]["equal parameters %"] = 100.0
conversions(edges, because="training on another CPU ends elsewhere")
int8, fake = edges.values()
assert int8["integer operators"] == 13 and fake["float operators"] > 20
