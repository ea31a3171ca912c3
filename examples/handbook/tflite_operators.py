"""The operators of a .tflite file with the types that they compute in, and one class to run it."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from handbook.tflite import quiet

_TYPES = {code: name.lower() for name, code in vars(schema.TensorType).items()}
_NAMES = {code: name for name, code in vars(schema.BuiltinOperator).items()}


class Operator(NamedTuple):
    """An operator: "CONV_2D", the types of its first input, weights and output, and its tensor.

    `weights` is "" without any; `tensor` is the name of the output.
    """

    name: str
    input: str
    weights: str
    output: str
    tensor: str

    @property
    def integer(self) -> bool:
        """Whether it computes in integers: its output is int8 or int16, or its weights are int8.

        Kernels that meet int8 weights and a float input quantize the input themselves.
        """
        return self.output in ("int8", "int16") or self.weights == "int8"


def tflite_operators(file: Path | bytes, conversions: bool = False) -> list[Operator]:
    """Return the operators of the first graph of a model, in the order in which they run.

    QUANTIZE and DEQUANTIZE are left out unless `conversions`.
    """
    content = file if isinstance(file, bytes) else Path(file).read_bytes()
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content))
    graph, operators = model.subgraphs[0], []
    for operator in graph.operators:
        code = model.operatorCodes[operator.opcodeIndex]
        name = _NAMES[max(code.builtinCode, code.deprecatedBuiltinCode)]
        if name in ("QUANTIZE", "DEQUANTIZE") and not conversions:
            continue
        inputs = [graph.tensors[i] for i in operator.inputs if i >= 0]
        output = graph.tensors[operator.outputs[0]]
        stored = [t for t in inputs[1:2] if model.buffers[t.buffer].data is not None]
        weights = _TYPES[stored[0].type] if stored else ""
        weights = weights if weights != "int32" else ""  # paddings and axes
        first = _TYPES[inputs[0].type] if inputs else ""
        operators.append(Operator(name, first, weights, _TYPES[output.type], output.name.decode()))
    return operators


class Runner:
    """A .tflite model that takes float images of one batch, on one thread.

    It quantizes the input and dequantizes the output if the file wants integers.
    `options` go to the interpreter.
    """

    def __init__(self, path, **options):
        from ai_edge_litert.interpreter import Interpreter

        with quiet():  # XNNPACK announces itself
            self.interpreter = Interpreter(str(path), num_threads=1, **options)
            self.interpreter.allocate_tensors()
        (self.input,) = self.interpreter.get_input_details()
        (self.output,) = self.interpreter.get_output_details()

    def quantize(self, images: np.ndarray) -> np.ndarray:
        """Return float images as the file takes them."""
        dtype, (scale, zero_point) = self.input["dtype"], self.input["quantization"]
        if dtype == np.float32:
            return images
        limits = np.iinfo(dtype)
        steps = np.rint(images / np.float32(scale)) + zero_point
        return np.clip(steps, limits.min, limits.max).astype(dtype)

    def dequantize(self, outputs: np.ndarray) -> np.ndarray:
        """Return the file's outputs as float32."""
        scale, zero_point = self.output["quantization"]
        if outputs.dtype == np.float32:
            return outputs
        return (outputs.astype(np.float32) - np.float32(zero_point)) * np.float32(scale)

    def raw(self, inputs: np.ndarray, batch_size: int = 500) -> np.ndarray:
        """Return the outputs as the file gives them, for inputs as it takes them."""
        size = min(batch_size, len(inputs))
        if size != self.interpreter.get_input_details()[0]["shape"][0]:
            self.interpreter.resize_tensor_input(self.input["index"], (size, *inputs.shape[1:]))
            with quiet():
                self.interpreter.allocate_tensors()
        outputs = []
        for start in range(0, len(inputs), size):
            self.interpreter.set_tensor(self.input["index"], inputs[start : start + size])
            self.interpreter.invoke()
            outputs.append(self.interpreter.get_tensor(self.output["index"]))
        return np.concatenate(outputs)

    def __call__(self, images: np.ndarray, batch_size: int = 500) -> np.ndarray:
        """Return float outputs for float images."""
        return self.dequantize(self.raw(self.quantize(images), batch_size))
