"""Models of one operator, for the kernels of ONNX Runtime and LiteRT to be called one by one."""

import functools

import flatbuffers
import numpy as np
import onnx
import onnxruntime
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter


@functools.cache
def session(operator: str, inputs: tuple, outputs: tuple, attributes: tuple):
    """An ONNX Runtime session of one node; inputs and outputs are names of NumPy types."""
    values = [
        [
            onnx.helper.make_tensor_value_info(
                f"{prefix}{i}", onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), None
            )
            for i, dtype in enumerate(dtypes)
        ]
        for prefix, dtypes in [("in", inputs), ("out", outputs)]
    ]
    names = [[value.name for value in side] for side in values]
    node = onnx.helper.make_node(operator, *names, **dict(attributes))
    graph = onnx.helper.make_graph([node], "one", *values)
    opset = onnx.helper.make_opsetid("", 21)
    model = onnx.helper.make_model(graph, opset_imports=[opset], ir_version=10)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options)


def onnx_runtime(operator, inputs, *outputs, **attributes):
    inputs = [np.asarray(value) for value in inputs]
    run = session(operator, tuple(str(i.dtype) for i in inputs), outputs, tuple(attributes.items()))
    results = run.run(None, {f"in{i}": value for i, value in enumerate(inputs)})
    return results[0] if len(outputs) == 1 else results


def litert(operator, source, dtype, scale, zero_point, axis, kernels):
    """Run a TFLite model of one operator, QUANTIZE or DEQUANTIZE."""
    real = schema.TensorT(shape=list(source.shape), type=schema.TensorType.FLOAT32)
    whole = schema.TensorT(shape=list(source.shape), type=getattr(schema.TensorType, dtype.upper()))
    whole.quantization = schema.QuantizationParametersT(
        scale=np.atleast_1d(scale), zeroPoint=np.atleast_1d(zero_point).astype(np.int64)
    )
    whole.quantization.quantizedDimension = axis
    tensors = [real, whole] if operator == "QUANTIZE" else [whole, real]
    code = getattr(schema.BuiltinOperator, operator)
    graph = schema.SubGraphT(tensors=tensors, inputs=[0], outputs=[1])
    graph.operators = [schema.OperatorT(inputs=[0], outputs=[1])]
    model = schema.ModelT(version=3, subgraphs=[graph], buffers=[schema.BufferT()])
    model.operatorCodes = [schema.OperatorCodeT(builtinCode=code, deprecatedBuiltinCode=code)]
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    interpreter = Interpreter(
        model_content=bytes(builder.Output()), experimental_op_resolver_type=kernels
    )
    interpreter.allocate_tensors()
    interpreter.set_tensor(0, source)
    interpreter.invoke()
    return interpreter.get_tensor(1)
