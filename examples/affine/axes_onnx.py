"""Axes in ONNX: where the output channel is, and along which axis the scales lie.

One layer of each kind, quantized per channel by ONNX Runtime; the shapes and the axes are read from
the DequantizeLinear nodes of its weights.
Source: onnxruntime.quantization.quantize_static.
"""

# %% model
import json
import logging

import numpy as np
import onnx
from onnx import numpy_helper

logging.disable(logging.WARNING)  # it recommends pre-processing, which this model does not need
rng = np.random.default_rng(0)
weights = {
    "conv": rng.normal(size=(8, 4, 3, 3)),
    "depthwise": rng.normal(size=(8, 1, 3, 3)),
    "transposed": rng.normal(size=(8, 6, 2, 2)),
    "gemm": rng.normal(size=(5, 6)),  # as an nn.Linear is exported, with transB=1
    "matmul": rng.normal(size=(5, 4)),  # x @ W
}
model = onnx.parser.parse_model("""
    <ir_version: 10, opset_import: ["": 21]>
    layers (float[1, 4, 12, 12] x) => (float[1, 4] y) {
        c = Conv(x, conv)
        d = Conv <group = 8> (c, depthwise)
        t = ConvTranspose(d, transposed)
        m = GlobalAveragePool(t)
        f = Flatten(m)
        g = Gemm <transB = 1> (f, gemm)
        y = MatMul(g, matmul)
    }""")
for name, weight in weights.items():
    model.graph.initializer.append(numpy_helper.from_array(weight.astype(np.float32), name))

# %% quantize
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

from handbook.record import artifact

files = [artifact(f"affine/axes_onnx/{name}.onnx") for name in ("float", "int8")]
onnx.save(model, files[0])


class Images(CalibrationDataReader):
    images = iter([{"x": rng.normal(size=(1, 4, 12, 12)).astype(np.float32)}])

    def get_next(self):
        return next(self.images, None)


quantize_static(*files, Images(), per_channel=True, activation_type=QuantType.QUInt8)

# %% read
from handbook.record import table

quantized = onnx.load(files[1])
values = {tensor.name: numpy_helper.to_array(tensor) for tensor in quantized.graph.initializer}
axes = {}
for node in quantized.graph.node:
    if node.op_type == "DequantizeLinear" and node.input[0] in values:
        axis = {a.name: a.i for a in node.attribute}.get("axis", 1)  # 1 is the operator's default
        name = node.input[0].removesuffix("_quantized")
        axes[name] = (values[node.input[0]].shape, axis, values[node.input[1]].size)

rows = []
kinds = ("Conv", "Conv, depthwise", "ConvTranspose", "Gemm, transB=1", "MatMul")
for kind, (shape, axis, scales) in zip(kinds, (axes[name] for name in weights), strict=True):
    row = {"layer": kind, "tool": "quantize_static", "weight": str(shape)}
    rows.append(row | {"axis": axis, "scales": scales})
table("axes", rows)
artifact("affine/axes_onnx/axes.json").write_text(json.dumps(rows))
assert [row["axis"] for row in rows] == [0, 0, 1, 0, 1]
assert [row["scales"] for row in rows] == [8, 8, 6, 5, 4]
