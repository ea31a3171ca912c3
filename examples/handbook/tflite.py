"""Read and run a .tflite file; and silence what TensorFlow's libraries write as they work."""

import logging
import os
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import NamedTuple

import numpy as np


@contextmanager
def quiet():
    """Drop all output of the block, that of C++ to stderr included. Exceptions pass."""
    saved = os.dup(2)
    logging.disable(logging.WARNING)  # in a notebook, TensorFlow logs to its own copy of stdout
    try:
        with open(os.devnull, "w") as null, redirect_stdout(StringIO()), redirect_stderr(null):
            os.dup2(null.fileno(), 2)
            yield
    finally:
        logging.disable(logging.NOTSET)
        os.dup2(saved, 2)
        os.close(saved)


def run_tflite(path, inputs, *, batch_size=500, **options) -> np.ndarray:
    """Return the first output of the model for `inputs`, whose type and layout are the model's.

    `options` go to the interpreter: `experimental_op_resolver_type` chooses the kernels.
    """
    from ai_edge_litert.interpreter import Interpreter

    with quiet():
        interpreter = Interpreter(str(path), num_threads=1, **options)
        index = interpreter.get_input_details()[0]["index"]
        interpreter.resize_tensor_input(index, (batch_size, *inputs.shape[1:]))
        interpreter.allocate_tensors()
    outputs = []
    for start in range(0, len(inputs), batch_size):
        interpreter.set_tensor(index, inputs[start : start + batch_size])
        interpreter.invoke()
        outputs.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))
    return np.concatenate(outputs)


class Tensor(NamedTuple):
    """A tensor of the file: no `data` if it is an activation; `scale` may have one a channel."""

    index: int
    data: np.ndarray | None
    scale: np.float32 | np.ndarray | None
    zero_point: int | None


class Operator(NamedTuple):
    """An operator of the file: "CONV_2D", its tensors, and its options by TFLite's names."""

    name: str
    inputs: list[Tensor]
    output: Tensor
    options: dict


def read_tflite(path) -> list[Operator]:
    """Return the operators of a quantized model of one graph, in the order in which they run."""
    from ai_edge_litert import schema_py_generated as schema

    names = {code: name for name, code in vars(schema.BuiltinOperator).items()}
    dtypes = {schema.TensorType.INT8: np.int8, schema.TensorType.INT32: np.int32}
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(Path(path).read_bytes()))
    graph = model.subgraphs[0]

    def tensor(index):
        entry = graph.tensors[index]
        data = model.buffers[entry.buffer].data
        if data is not None:
            data = np.asarray(data).view(dtypes[entry.type]).reshape(entry.shape)
        scale, zero_point = entry.quantization.scale, entry.quantization.zeroPoint
        if scale is None:  # such as the axes of a mean
            return Tensor(index, data, None, None)
        return Tensor(index, data, scale if len(scale) > 1 else scale[0], int(zero_point[0]))

    return [
        Operator(
            names[model.operatorCodes[operator.opcodeIndex].builtinCode],
            [tensor(index) for index in operator.inputs],
            tensor(operator.outputs[0]),
            vars(operator.builtinOptions) if operator.builtinOptions else {},
        )
        for operator in graph.operators
    ]
