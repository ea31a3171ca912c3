"""Scale 0.1 and zero point 3, by hand, in three formats.

Given to PyTorch, to an ONNX model and to a TFLite model; read back from each, and used by each on
the same values.
Source: torch.quantize_per_tensor, ONNX's QuantizeLinear, and TFLite's schema.
"""

# %% pytorch
import warnings

import numpy as np
import torch

warnings.filterwarnings("ignore", "torch.quantize_per_tensor, torch.quantize_per_channel")
x = np.arange(-1300, 1301, dtype=np.float32) / 100
tensor = torch.quantize_per_tensor(torch.from_numpy(x), 0.1, 3, torch.qint8)
print(tensor.q_scale(), type(tensor.q_scale()).__name__, tensor.q_zero_point())

# %% onnx
import onnx
import onnxruntime

model = onnx.parser.parse_model("""
    <ir_version: 10, opset_import: ["": 21]>
    by_hand (float[N] x) => (int8[N] y)
    <float scale = {0.1}, int8 zero_point = {3}> { y = QuantizeLinear(x, scale, zero_point) }""")
scale, zero_point = map(onnx.numpy_helper.to_array, model.graph.initializer)
print(f"{scale.item():.17g}", scale.dtype, zero_point, zero_point.dtype)
onnx_integers = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})[0]

# %% tflite
import flatbuffers
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

parameters = schema.QuantizationParametersT()
parameters.scale, parameters.zeroPoint = [0.1], [3]
tensors = []
for name, dtype, quantization in (
    ("x", schema.TensorType.FLOAT32, None),
    ("y", schema.TensorType.INT8, parameters),
):
    tensors.append(schema.TensorT())
    tensors[-1].name, tensors[-1].type, tensors[-1].shape = name, dtype, [len(x)]
    tensors[-1].quantization = quantization
operator, code = schema.OperatorT(), schema.OperatorCodeT()
graph, file = schema.SubGraphT(), schema.ModelT()
operator.inputs, operator.outputs = [0], [1]
code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.QUANTIZE
graph.tensors, graph.operators, graph.inputs, graph.outputs = tensors, [operator], [0], [1]
file.version, file.buffers = 3, [schema.BufferT()]
file.operatorCodes, file.subgraphs = [code], [graph]
builder = flatbuffers.Builder()
builder.Finish(file.Pack(builder), b"TFL3")

from handbook.tflite import quiet

with quiet():
    interpreter = Interpreter(model_content=bytes(builder.Output()))
    interpreter.allocate_tensors()
output = interpreter.get_output_details()[0]
read = output["quantization_parameters"]
scales, zero_points = read["scales"], read["zero_points"]
print(f"{scales[0]:.17g}", scales.dtype, zero_points, zero_points.dtype)
interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
interpreter.invoke()
tflite_integers = interpreter.get_tensor(output["index"])

# %% compare
from handbook.record import record

print("float64 == float32:", tensor.q_scale() == scale.item())
print("both as float32:", np.float32(tensor.q_scale()) == scale)
assert tensor.q_scale() != scale.item()
assert np.float32(tensor.q_scale()) == scale == scales[0]

steps = np.abs(x / np.float32(0.1))
tie = np.abs(steps - np.floor(steps) - 0.5) < 1e-3
counts = {}
for name, integers in {"pytorch": tensor.int_repr().numpy(), "tflite": tflite_integers}.items():
    differs = integers != onnx_integers
    counts[f"{name}_differs"] = int(differs.sum())
    assert np.abs(integers.astype(int) - onnx_integers).max() <= 1 and tie[differs].all()
record(values=len(x), ties=int(tie.sum()))
record(**counts, tolerance=300, because="kernels of another CPU round ties in another way")
print(counts, "of", len(x), "values, all of them halfway between two steps")
