"""Parameters that TFLite refuses, and some that it ignores.

The int8 running example with one parameter changed in the file: a zero point of a weight, and the
axis of a weight's scales.
Source: TensorFlow Lite's schema; the interpreter of LiteRT.
"""

# %% load
import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from handbook.data import fashion_mnist
from handbook.record import artifact, expected
from handbook.tflite import quiet

content = artifact("affine/quantized_models/int8.tflite").read_bytes()
pixels = fashion_mnist("test", raw=True)[0][:1, :, :, np.newaxis]
image = (pixels.astype(np.int32) - 128).astype(np.int8)


def run(name, **parameters):
    """The logits, with other quantization parameters in the first weight with this operator."""
    file = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content))
    graph = file.subgraphs[0]
    codes = [code.builtinCode for code in file.operatorCodes]
    code = getattr(schema.BuiltinOperator, name)
    operator = next(op for op in graph.operators if codes[op.opcodeIndex] == code)
    vars(graph.tensors[operator.inputs[1]].quantization).update(parameters)
    builder = flatbuffers.Builder()
    builder.Finish(file.Pack(builder), b"TFL3")
    kernels = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES  # without XNNPACK
    with quiet():
        interpreter = Interpreter(
            model_content=bytes(builder.Output()), experimental_op_resolver_type=kernels
        )
        interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0]


# %% weight_zero_point
with expected(RuntimeError, "zero_point->data[i] != 0"):
    run("CONV_2D", zeroPoint=[3] * 16)

# %% ignored
original = run("DEPTHWISE_CONV_2D")
changed = run("DEPTHWISE_CONV_2D", zeroPoint=[3] * 16)
print("zero points 0:", original)
print("zero points 3:", changed)
assert (changed == original).all()

# %% axis
with expected(ValueError, "num_scales must be 1 for per-layer quantization"):
    run("DEPTHWISE_CONV_2D", quantizedDimension=0)  # its 16 channels are in dimension 3
