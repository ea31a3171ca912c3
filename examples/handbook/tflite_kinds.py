"""Which operators of a .tflite file compute in integers: read from the types of its tensors."""

from ai_edge_litert import schema_py_generated as schema

TYPES = {code: name for name, code in vars(schema.TensorType).items()}
NAMES = {code: name for name, code in vars(schema.BuiltinOperator).items()}
# Conversions, also of layouts; and the split of a recurrent layer's gates, which moves data and is
# float in some runs of the converter and int8 in others.
ASIDE = ("QUANTIZE", "DEQUANTIZE", "TRANSPOSE", "SPLIT")
PRODUCTS = ("FULLY_CONNECTED", "CONV", "BATCH_MATMUL", "LSTM", "GATHER", "EMBEDDING")


def tflite_kinds(file: bytes, dynamic: bool) -> list[str]:
    """Return the kind of each operator of the file, for handbook.findings.word.

    An operator is "int8" if its output is, or if int8 weights meet a float input: those kernels
    quantize the input. It is "weights" if it looks int8 rows up, or if its weights are dequantized
    first. In a `dynamic` model nothing but products, and what has int8 weights, counts.
    """
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(file))
    kinds = []
    for graph in model.subgraphs:
        constant = {
            i for i, t in enumerate(graph.tensors) if model.buffers[t.buffer].data is not None
        }
        for operator in graph.operators:
            name = NAMES[model.operatorCodes[operator.opcodeIndex].builtinCode]
            inputs = [i for i in operator.inputs if i >= 0]
            types = [TYPES[graph.tensors[i].type] for i in inputs]
            out = TYPES[graph.tensors[operator.outputs[0]].type]
            stored = {t for i, t in zip(inputs, types, strict=True) if i in constant}
            if name == "DEQUANTIZE" and "INT8" in stored:
                kinds.append("weights")
            elif name in ASIDE or out not in ("INT8", "FLOAT32"):
                continue
            elif out == "INT8" or "INT8" in stored:
                kinds.append("weights" if name in ("GATHER", "EMBEDDING_LOOKUP") else "int8")
            elif not dynamic or any(part in name for part in PRODUCTS):
                kinds.append("float")
    return kinds
