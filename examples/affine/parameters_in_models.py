"""The same scales and zero points, read out of three models.

The running example, quantized by PyTorch, ONNX Runtime and TFLite with the same 1000 images: where
each keeps its parameters, with which types, and whether they are the same to the last bit.
Source: the models that parameters_pytorch.py and quantized_models.py made.
"""

# %% onnx
import json

import numpy as np
import onnx

from handbook.record import artifact

saved = json.loads(artifact("affine/parameters_pytorch/parameters.json").read_text())
layers = [name.split()[0] for name in saved["PyTorch, default"] if name.endswith("weight")]

graph = onnx.load(artifact("affine/quantized_models/int8.onnx")).graph
initializers = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
consumer = {name: node for node in graph.node for name in node.input}


def read_onnx():
    read = {"images": [initializers[name] for name in consumer["images"].input[1:]]}
    for layer in layers:
        node = consumer[f"{layer}.weight_quantized"]  # inputs: integers, scale, zero point
        read[f"{layer} weight"] = [initializers[name] for name in node.input[1:]]
        while node.op_type != "QuantizeLinear":  # on to the node that quantizes the output
            node = consumer[node.output[0]]
        read[f"{layer} output"] = [initializers[name] for name in node.input[1:]]
    return read


# %% tflite
from ai_edge_litert import schema_py_generated as schema


def read_tflite():
    file = artifact("affine/quantized_models/int8.tflite").read_bytes()
    graph = schema.ModelT.InitFromObj(schema.Model.GetRootAs(file)).subgraphs[0]
    tensors = [(t.quantization.scale, t.quantization.zeroPoint) for t in graph.tensors]
    read = {"images": tensors[graph.inputs[0]]}
    with_weight = [operator for operator in graph.operators if len(operator.inputs) == 3]
    for layer, operator in zip(layers, with_weight, strict=True):  # input, weight, bias
        read[f"{layer} weight"] = tensors[operator.inputs[1]]
        read[f"{layer} output"] = tensors[operator.outputs[0]]
    return read


# %% types
from handbook.record import record, table

models = {  # {tool: {name: (scale, zero point)}}
    tool: {name: [np.array(values) for _, values in pair] for name, pair in found.items()}
    for tool, found in saved.items()
} | {"ONNX Runtime": read_onnx(), "TFLite": read_tflite()}
rows = []
for tool in list(models)[1:]:
    for name in ("images", "stem.conv weight", "stem.conv output"):
        types = [str(value.dtype) for value in models[tool][name]]
        if tool in saved:  # as PyTorch calls them
            types = [kind for kind, _ in saved[tool][name]]
        row = {"model": tool.split(",")[0], "parameters of": name}
        rows.append(row | dict(zip(("scale", "zero point"), types, strict=True)))
table("types", rows)

# %% compare
names = ["images", "stem.conv weight", "stem.conv output", "inverted.project.conv output"]
names += ["branch1x1.conv output", "classifier weight", "classifier output"]
because = "another CPU adds up in another order, and so finds other ranges of activations"
for part, title, allowed in ((0, "scales", 1e-4), (1, "zero points", 1)):
    rows = []
    for name in names:  # of a weight, channel 0
        values = {tool: np.ravel(read[name][part])[0].item() for tool, read in models.items()}
        rows.append(
            {"tensor": name} | {t: round(v, 8) if part == 0 else v for t, v in values.items()}
        )
    tolerance = dict.fromkeys(models, allowed) | {"PyTorch, default": 10 * allowed}  # a histogram
    table(title, rows, tolerance=tolerance, because=because)


def ulp(a, b):
    """How many float32 numbers apart two scales are."""
    a, b = (np.ravel(x).astype(np.float32).view(np.int32) for x in (a, b))
    return int(np.abs(a - b).max())


_, pytorch, ort, tflite = models.values()
weights = [f"{layer} weight" for layer in layers]
count = sum(np.size(pytorch[name][0]) for name in weights)
apart = max(ulp(pytorch[n][0], other[n][0]) for n in weights for other in (ort, tflite))
record(weight_scales=count)
record(ulp=apart, tolerance=3, because="batch normalization is folded in another order")
assert apart <= 6
for name, (scale, zero_point) in ort.items():  # uint8; of TFLite's int8, for the same range:
    if "weight" not in name and np.allclose(scale, tflite[name][0], rtol=1e-4):
        assert np.ravel(zero_point)[0].astype(int) - tflite[name][1][0] == 128
