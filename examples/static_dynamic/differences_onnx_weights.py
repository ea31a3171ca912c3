"""Weight-only quantization of convolutions in ONNX, by hand.

Each weight of the running example becomes int8, with a scale for each output channel, and gets a
DequantizeLinear in front of its operator.
Source: the operator DequantizeLinear of ONNX.
"""

# %% load
import numpy as np
import onnx
from onnx.numpy_helper import from_array, to_array

from handbook.record import artifact

prepared = artifact("affine/quantized_models/prepared.onnx")  # float, normalization folded
path = artifact("static_dynamic/differences_onnx_weights/weight_only.onnx")

# %% weight_only
model = onnx.load(prepared)
graph = model.graph
arrays = {tensor.name: tensor for tensor in graph.initializer}
for node in list(graph.node):
    if node.op_type not in ("Conv", "Gemm"):
        continue
    weight = to_array(tensor := arrays[node.input[1]])
    rows = weight.reshape(len(weight), -1)  # one for each output channel
    scale = np.maximum(np.abs(rows).max(axis=1) / 127, 1e-9).astype(np.float32)
    q = np.rint(rows / scale[:, np.newaxis]).astype(np.int8).reshape(weight.shape)
    graph.initializer.remove(tensor)
    zero = np.zeros(len(scale), np.int8)
    for suffix, array in (("q", q), ("scale", scale), ("zero_point", zero)):
        graph.initializer.append(from_array(array, f"{tensor.name}_{suffix}"))
    inputs = [f"{tensor.name}_{suffix}" for suffix in ("q", "scale", "zero_point")]
    dequantize = onnx.helper.make_node("DequantizeLinear", inputs, [tensor.name], axis=0)
    graph.node.insert(0, dequantize)
onnx.save(model, path)

# %% check
import onnxruntime

from handbook.data import fashion_mnist
from handbook.measure import agreement, file_size_kib

images = fashion_mnist("test")[0][:1000]
sessions = [onnxruntime.InferenceSession(each) for each in (prepared, path)]
logits = [session.run(None, {"images": images})[0] for session in sessions]
print("same answers as float, %:", agreement(*logits))
assert agreement(*logits) > 98 and file_size_kib(path) < file_size_kib(prepared) / 2
