"""handbook.reference passes ONNX's own node tests, and refuses bad input with a reason.

tests/test_reference_runtimes.py compares it with the kernels of the runtimes.
"""

import functools
import re
import warnings
from pathlib import Path

import numpy as np
import onnx
import pytest

from handbook import reference

# ONNX's node tests


def quantize_linear(x, scale, zero_point=None, *, output_dtype=onnx.TensorProto.UINT8, **options):
    dtype = onnx.helper.tensor_dtype_to_np_dtype(output_dtype)
    if zero_point is None:
        return reference.quantize_linear(x, scale, dtype=dtype, **options)
    return reference.quantize_linear(x, scale, zero_point, zero_point.dtype, **options)


OPERATORS = {
    "QuantizeLinear": quantize_linear,
    "DequantizeLinear": reference.dequantize_linear,
    "DynamicQuantizeLinear": reference.dynamic_quantize_linear,
    "MatMulInteger": reference.matmul_integer,
    "ConvInteger": reference.conv_integer,
    "QLinearMatMul": reference.qlinear_matmul,
    "QLinearConv": reference.qlinear_conv,
}
OUT_OF_SCOPE = {  # by the type that they quantize to, or from
    "test_quantizelinear_e4m3fn": "8-bit floats have no constant step, and no zero point",
    "test_quantizelinear_e5m2": "8-bit floats",
    "test_quantizelinear_float4e2m1": "4-bit floats",
    "test_dequantizelinear_e4m3fn": "8-bit floats",
    "test_dequantizelinear_e4m3fn_float16": "8-bit floats",
    "test_dequantizelinear_e4m3fn_zero_point": "8-bit floats",
    "test_dequantizelinear_e5m2": "8-bit floats",
    "test_dequantizelinear_float4e2m1": "4-bit floats",
}


@functools.cache
def node_tests() -> dict[str, tuple]:
    """The operator, its attributes, and pairs of inputs and outputs, by name of the test."""
    from onnx.backend.test.loader import load_model_tests

    with warnings.catch_warnings(action="ignore"):  # of other operators, as their data are made
        loaded = {test.name: test for test in load_model_tests(kind="node")}
    tests = {}
    for name, test in loaded.items():
        # The body of a function, on the same data, is a test of the operator as well.
        [node, *others] = loaded[name.removesuffix("_expanded")].model.graph.node
        if node.op_type in OPERATORS and not others:
            attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
            tests[name] = node.op_type, attributes, test.data_sets
    return tests


def as_array(value) -> np.ndarray:  # types that NumPy lacks come as a TensorProto
    packed = isinstance(value, onnx.TensorProto)
    return onnx.numpy_helper.to_array(value) if packed else np.asarray(value)


def run(name) -> int:
    """Run one test of ONNX; return how many data sets it has."""
    operator, attributes, data_sets = node_tests()[name]
    for inputs, outputs in data_sets:
        ours = OPERATORS[operator](*map(as_array, inputs), **attributes)
        ours = ours if isinstance(ours, tuple) else (ours,)
        for our, expected in zip(map(np.asarray, ours), map(as_array, outputs), strict=True):
            assert (our.dtype, our.shape) == (expected.dtype, expected.shape)
            assert np.array_equal(our, expected), name
    return len(data_sets)


def test_onnx_node_tests():
    names = node_tests().keys() - OUT_OF_SCOPE
    assert sum(map(run, names)) == len(names) == 37  # another number: read what ONNX has added
    assert {node_tests()[name][0] for name in names} == set(OPERATORS)


@pytest.mark.parametrize("name", OUT_OF_SCOPE)
def test_out_of_scope_of_onnx(name):
    with pytest.raises(ValueError, match="expected an integer type such as int8, not float"):
        run(name)


def test_catches_another_result(monkeypatch):
    monkeypatch.setitem(OPERATORS, "MatMulInteger", lambda *_: np.zeros((4, 2), np.int32))
    with pytest.raises(AssertionError, match="test_matmulinteger"):
        run("test_matmulinteger")


# Bad input

ONES = np.ones((2, 3), np.float32)
BYTES = np.ones((2, 3), np.int8)
IMAGE, KERNEL = np.ones((1, 4, 5, 5), np.uint8), np.ones((6, 2, 3, 3), np.int8)
WIDE = np.full((1, 3), 2**15 - 1, np.int16)
ERRORS = {
    "expected an integer type such as int8, not float32": [
        lambda: reference.limits(np.float32),
        lambda: reference.quantize_linear(ONES, 0.1, dtype="float32"),
        lambda: reference.dequantize_linear(ONES, 0.1),
        lambda: reference.matmul_integer(ONES, BYTES.T),
        lambda: reference.requantize(ONES, 0.1, 0, "int8"),
        lambda: reference.requantize_fixed_point(ONES, 2**30, 0),
    ],
    "expected an integer type such as int8, not int64": [lambda: reference.limits(np.int64)],
    "the range must be finite: look for NaN and infinity in the data": [
        lambda: reference.quantization_parameters(np.nan, 1),
        lambda: reference.quantization_parameters(0, np.inf),
        lambda: reference.dynamic_quantize_linear(np.float32([0, np.inf])),
    ],
    "the range is too wide for a float32 scale": [
        lambda: reference.quantization_parameters(-3e38, 3e38)
    ],
    "expected floats to quantize, not int8": [lambda: reference.quantize_linear(BYTES, 0.1)],
    "NaN has no integer: find where it comes from before you quantize": [
        lambda: reference.quantize_linear([0.5, np.nan], 0.1),
        lambda: reference.dynamic_quantize_linear([np.nan]),
    ],
    "an empty tensor has no range": [lambda: reference.dynamic_quantize_linear(ONES[:0])],
    "a scale is finite and above 0": [
        lambda: reference.quantize_linear(ONES, 0),
        lambda: reference.quantize_linear(ONES, -0.1),
        lambda: reference.dequantize_linear(BYTES, np.inf),
        lambda: reference.requantize(BYTES, np.nan, 0, "int8"),
    ],
    "a zero point of uint8 is an integer from 0 to 255": [
        lambda: reference.quantize_linear(ONES, 0.1, -1),
        lambda: reference.quantize_linear(ONES, 0.1, 0.5),
        lambda: reference.requantize(BYTES, 0.1, 256, "uint8"),
    ],
    "(2,) has no value for each index of axis 1 of (2, 3)": [
        lambda: reference.quantize_linear(ONES, [0.1, 0.2]),
        lambda: reference.dequantize_linear(BYTES, 0.1, [1, 2]),
    ],
    "(2,) has no value for each index of axis 2 of (2, 3)": [
        lambda: reference.quantize_linear(ONES, [0.1, 0.2], axis=2)
    ],
    "no blocks of 2 along axis 1 of (2, 3)": [
        lambda: reference.quantize_linear(ONES, [0.1, 0.2], block_size=2),
        lambda: reference.quantize_linear(ONES, ONES[:, :1], block_size=2),
    ],
    "expected integers of 16 bits or fewer, not int32": [
        lambda: reference.matmul_integer(BYTES.astype(np.int32), BYTES.T),
        lambda: reference.conv_integer(IMAGE, KERNEL.astype(np.int32), group=2),
    ],
    "expected (..., M, K) and (..., K, N), not (2, 3) and (2, 3)": [
        lambda: reference.matmul_integer(BYTES, BYTES)
    ],
    "expected (..., M, K) and (..., K, N), not (3,) and (3, 2)": [
        lambda: reference.matmul_integer(BYTES[0], BYTES.T)
    ],
    "(1, 4, 5, 5) and (6, 2, 3, 3) are no 2-D convolution of 1 groups": [
        lambda: reference.conv_integer(IMAGE, KERNEL)
    ],
    "a sum needs more than 32 bits": [
        lambda: reference.matmul_integer(WIDE, WIDE.T),
        lambda: reference.qlinear_conv(
            IMAGE, 1, 0, KERNEL, 1, 0, 1, np.int8(0), np.full(6, 2**31 - 1, np.int32), group=2
        ),
        lambda: reference.requantize_fixed_point(np.int32(2**30), 2**30, 2),
    ],
    "expected a multiplier above 0, not 0.0": [lambda: reference.fixed_point_multiplier(0.0)],
    "expected a multiplier above 0, not inf": [lambda: reference.fixed_point_multiplier(np.inf)],
    "a shift lies between -31 and 30": [
        lambda: reference.requantize_fixed_point(BYTES, 2**30, -32),
        lambda: reference.requantize_fixed_point(BYTES, 2**30, 31, rounding_twice=False),
    ],
}


@pytest.mark.parametrize(
    ("message", "call"), [(message, call) for message in ERRORS for call in ERRORS[message]]
)
def test_bad_input(message, call):
    with pytest.raises(ValueError, match="^" + re.escape(message) + "$"):
        call()


def test_every_error_is_tested():
    raised = re.findall(r'raise ValueError\(\s*f?"(.+)"', Path(reference.__file__).read_text())
    patterns = [re.sub(r"\\\{.+?\\\}", ".+", re.escape(message)) for message in raised]
    assert len(patterns) == 16
    for pattern in patterns:
        assert any(re.fullmatch(pattern, message) for message in ERRORS), pattern
