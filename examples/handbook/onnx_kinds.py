"""Which operators of an ONNX model compute in integers, by ONNX Runtime's optimized graph."""

from pathlib import Path

import onnx
import onnxruntime

INTEGER = ("QLinear", "QGemm", "ConvInteger", "MatMulInteger", "DynamicQuantize")
FLOAT_OUTPUT = ("DequantizeLinear", "ConvInteger", "MatMulInteger", "DynamicQuantize")
ASIDE = ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "Transpose", "Cast")
PRODUCTS = "Gemm MatMul FusedMatMul FusedGemm Conv FusedConv ConvTranspose Attention LSTM GRU RNN"
INT8 = (onnx.TensorProto.UINT8, onnx.TensorProto.INT8)


def onnx_kinds(file: Path, feed: dict, dynamic: bool) -> list[str]:
    """Optimize and run the model, and return each node's kind, for handbook.findings.word.

    A node is "int8" if its kernel is one for integers, or if its first input is int8, and
    "weights" if its weights are dequantized. In a `dynamic` model nothing but products counts.
    `feed` maps the names of inputs to arrays. The graph is left beside the file: optimized.onnx.
    """
    optimized = file.with_name("optimized.onnx")
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(optimized)
    onnxruntime.InferenceSession(file, options).run(None, feed)
    graph, kinds = onnx.load(optimized).graph, []
    int8 = {x.name for x in graph.initializer if x.data_type in INT8}
    for node in graph.node:
        name = node.op_type
        integer = name.startswith(INTEGER) or any(x in int8 for x in node.input[:1])
        if name == "QuantizeLinear" or (integer and not name.startswith(FLOAT_OUTPUT)):
            int8 |= set(node.output)
        if name == "MatMulNBits" or (integer and name == "Gather"):
            kinds.append("weights")
        elif name not in ASIDE and (integer or not dynamic or name in PRODUCTS.split()):
            kinds.append("int8" if integer else "float")
    return kinds
