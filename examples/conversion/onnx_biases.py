"""PyTorch int8 to ONNX: the bias is cut off, not rounded.

ONNX has biases in int32. PyTorch's TorchScript exporter computes them with a Cast, which drops the
digits after the point. A layer shows it, and each engine of PyTorch what it costs the network.
Source: requantize_bias_helper in torch.onnx, PyTorch 2.13; pull request 89976 of pytorch/pytorch.
"""

# %% load
import logging
import warnings

import numpy as np
import onnx
import torch
from torch.ao.quantization import convert, fuse_modules, get_default_qconfig, prepare

from handbook.data import fashion_mnist
from handbook.eager_example import load_eager_example, modules_to_fuse
from handbook.record import artifact
from handbook.running_example import predict

logging.disable(logging.WARNING)  # of torchao, on the GPU kernels that it does not find
warnings.simplefilter("ignore")  # deprecation notices of eager mode, and of the exporter
calibration_images = fashion_mnist("train")[0][:1000]
test_images, labels = fashion_mnist("test")
images = torch.from_numpy(np.ascontiguousarray(test_images[:2]))

# %% quantize
torch.backends.quantized.engine = "onednn"
model = load_eager_example()
fused = fuse_modules(model, modules_to_fuse(model))
fused.qconfig = get_default_qconfig("onednn")
prepared = prepare(fused)
predict(prepared, calibration_images)
quantized = convert(prepared)


# %% export
def export(int8, name):
    path = artifact(f"conversion/onnx_biases/{name}.onnx")
    old = {"dynamo": False, "opset_version": 17, "input_names": ["images"]}
    torch.onnx.export(int8, (images,), path, dynamic_axes={"images": {0: "batch"}}, **old)
    return path


path = export(quantized, "as_it_is")

# %% cut_off
constants = {
    node.output[0]: onnx.numpy_helper.to_array(node.attribute[0].t)
    for node in onnx.load(path).graph.node
    if node.op_type == "Constant"
}
layer = quantized.separable1.depthwise.conv
step = quantized.stem.conv.scale * layer.weight().q_per_channel_scales().numpy()
exact = layer.bias().detach().numpy() / step
exported = next(
    x
    for x in constants.values()
    if x.dtype == np.int32 and x.shape == (16,) and abs(x - exact).max() < 1
)
for index in range(4):
    print(f"bias {exact[index]:8.2f} steps, in the file {exported[index]}")
assert (exported == np.trunc(exact)).all() and (exported != np.rint(exact)).any()

# %% engines
from handbook.conversions import parity
from handbook.measure import has_int8_dot_product
from handbook.onnx_session import predict_onnx
from handbook.record import table
from handbook.to_onnx import round_biases

exact = {"x64quantprecision": "1"}  # on x86 without VNNI too
rows = []
for biases in ("cut off", "rounded first"):
    for engine in ("qnnpack", "onednn", "x86"):
        torch.backends.quantized.engine = engine
        int8 = convert(prepared)  # packed anew, for this engine
        if biases == "rounded first":
            int8 = round_biases(int8, images)
        if engine == "qnnpack":
            logits = predict_onnx(export(int8, biases.replace(" ", "_")), test_images, **exact)
        row = parity(logits, predict(int8, test_images), labels, quantized.classifier.scale)
        del row["accuracy %"], row["95 % interval"]
        rows.append({"biases": biases, "PyTorch's engine": engine} | row)
wide = {"same answer %": 1, "identical outputs %": 20, "largest difference": 2}
table("engines", rows, tolerance=wide, because="ties, and saturating sums without VNNI")
identical = [row["identical outputs %"] for row in rows]
assert identical[3] > 99 and rows[3]["largest difference"] in ("0 LSB", "1 LSB", "2 LSB")
assert identical[0] < 80 and rows[0]["same answer %"] > 99
if has_int8_dot_product():  # elsewhere sums of onednn saturate
    assert all(after > before + 10 for before, after in zip(identical, identical[3:], strict=False))
