"""PyTorch eager int8 to ONNX int8.

A converted eager model is exported with the TorchScript exporter: where the QuantizeLinear and
DequantizeLinear stand in the file, and what ONNX Runtime makes of them.
Source: torch.onnx.export, dynamo=False, PyTorch 2.13.
"""

# %% load
import logging
import warnings
from collections import Counter

import numpy as np
import onnx
import onnxruntime
import torch
from torch.ao.quantization import convert, fuse_modules, get_default_qconfig, prepare

from handbook.data import fashion_mnist
from handbook.eager_example import load_eager_example, modules_to_fuse
from handbook.record import artifact
from handbook.running_example import predict

logging.disable(logging.WARNING)  # of torchao, on the GPU kernels that it does not find
warnings.simplefilter("ignore")  # deprecation notices of eager mode, and of the exporter
onnxruntime.set_default_logger_severity(3)
torch.backends.quantized.engine = "qnnpack"  # its kernels have biases in int32, as ONNX has
calibration_images = fashion_mnist("train")[0][:1000]
test_images, labels = fashion_mnist("test")
images = torch.from_numpy(np.ascontiguousarray(test_images[:2]))

# %% quantize
model = load_eager_example()
fused = fuse_modules(model, modules_to_fuse(model))
fused.qconfig = get_default_qconfig("onednn")  # 8-bit activations, a scale for each channel
prepared = prepare(fused)
predict(prepared, calibration_images)
quantized = convert(prepared)

# %% export
from handbook.to_onnx import round_biases

path = artifact("conversion/eager_int8_to_onnx/int8.onnx")
rounded = round_biases(quantized, images)
torch.onnx.export(
    rounded,
    (images,),
    path,
    dynamo=False,
    opset_version=17,
    input_names=["images"],
    dynamic_axes={"images": {0: "batch"}},
)

# %% placement
nodes = [n for n in onnx.load(path).graph.node if n.op_type not in ("Constant", "Identity")]
first = next(index for index, node in enumerate(nodes) if node.op_type == "Conv")
for node in nodes[first - 6 : first + 4]:
    inputs = " ".join(name.rpartition("/")[2] for name in node.input)
    print(f"{node.op_type:16} {inputs}")

# %% optimized
from handbook.onnx_kinds import onnx_kinds

kinds = onnx_kinds(path, {"images": images.numpy()}, dynamic=False)
optimized = onnx.load(path.with_name("optimized.onnx")).graph.node
print(dict(sorted(Counter(node.op_type for node in optimized).items())))
assert kinds.count("int8") == 13 and kinds.count("float") == 1  # the mean

# %% keep
from handbook.to_onnx import converted_parameters, keep

parameters = converted_parameters(prepared, quantized)
keep(path, predict(rounded, test_images), rounded.classifier.scale, parameters)
