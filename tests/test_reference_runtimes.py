"""handbook.reference equals the kernels of five runtimes, to the last bit, on drawn cases.

Every check draws parameters with Hypothesis, from a fixed seed, and arrays from NumPy, above all
ties: x = (k + 0.5) * scale. Where a runtime has another rule, the check names it; none is loosened.
"""

import functools
import warnings

import numpy as np
import pytest
import torch
from ai_edge_litert.interpreter import OpResolverType
from drawn import faulty_reference, run, same
from hypothesis import Phase
from hypothesis import strategies as st
from one_op import litert, onnx_runtime

from handbook import reference
from handbook.measure import has_int8_dot_product

SEED = st.integers(0, 2**32 - 1)
SIZE = st.integers(1, 20)
INT8 = st.sampled_from(["int8", "uint8"])


def draw_scales(rng, shape=()) -> np.ndarray:
    powers = np.exp2(rng.integers(-20, 10, shape))
    ratios = rng.integers(1, 2000, shape) / rng.integers(1, 2000, shape)
    return np.asarray([powers, ratios][rng.integers(2)], np.float32)


def draw_integers(rng, dtype, shape=(), bits=None) -> np.ndarray:
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if bits else reference.limits(dtype)
    return rng.integers(low, high, shape, endpoint=True).astype(dtype)


def draw_floats(rng, steps, scale) -> np.ndarray:
    """Ties, their neighbours, values of any size, or values between the steps."""
    ties = ((np.rint(steps) + 0.5) * scale).astype(np.float32)
    beside = np.nextafter(ties, np.float32(rng.choice([-np.inf, np.inf])))
    any_size = np.ldexp(steps, rng.integers(-140, 100, steps.shape))
    drawn = [ties, ties, beside, any_size, steps * scale][rng.integers(5)]
    return np.clip(drawn, -(2.0**126), 2.0**126).astype(np.float32)


def check_quantize(seed, dtype, shape, per_channel):
    """ONNX Runtime, PyTorch's fake_quantize, and LiteRT, both kernels."""
    rng = np.random.default_rng(seed)
    low, high = reference.limits(dtype)
    axis = int(rng.integers(len(shape))) if per_channel else 0
    count = (shape[axis],) if per_channel and shape[axis] > 1 else ()
    scale, zero_point = draw_scales(rng, count), draw_integers(rng, dtype, count)
    if not rng.integers(4):
        zero_point = np.zeros_like(zero_point)
    wide = scale.reshape([-1 if i == axis else 1 for i in range(len(shape))] if count else ())
    x = draw_floats(rng, rng.normal(0, high - low, shape) * rng.choice([0.02, 0.5]), wide)
    in_range = (np.abs(x / wide) < 2**30).all()  # else two overflow: pytorch/pytorch#195343

    def quantize(**options):
        return reference.quantize_linear(x, scale, zero_point, dtype, axis=axis, **options)

    ours = quantize()
    restored = reference.dequantize_linear(ours, scale, zero_point, axis=axis)
    same(ours, onnx_runtime("QuantizeLinear", [x, scale, zero_point], dtype, axis=axis))
    theirs = onnx_runtime("DequantizeLinear", [ours, scale, zero_point], "float32", axis=axis)
    same(restored, theirs)

    tensors = [torch.from_numpy(value) for value in (x, scale, zero_point.astype(np.int32))]
    inverse = quantize(inverse=True)
    fake = reference.dequantize_linear(inverse, scale, zero_point, axis=axis)
    if not count:
        same(fake, torch.fake_quantize_per_tensor_affine(*tensors, low, high))
    elif in_range:
        same(fake, torch.fake_quantize_per_channel_affine(*tensors, axis, low, high))

    if dtype == "uint16" or (dtype == "int16" and (count or zero_point.any())):
        return  # TFLite has int16 per tensor, without a zero point
    parameters = dtype, scale, zero_point, axis
    same(restored, litert("DEQUANTIZE", ours, *parameters, OpResolverType.BUILTIN_REF))
    if in_range:
        away = quantize(rounding=reference.round_half_away)
        same(away, litert("QUANTIZE", x, *parameters, OpResolverType.BUILTIN_REF))
    if dtype != "int16" and not count and not axis:  # what XNNPACK has a kernel for
        same(inverse, litert("QUANTIZE", x, *parameters, OpResolverType.AUTO))


def check_torch_quantize(seed, dtype, rows, columns, per_channel):
    """PyTorch's quantized tensors: FBGEMM adds the zero point before it rounds (QuantUtils.h).

    So a tie goes to the even integer, not to the even number of steps. A compiler may fuse the
    product with that sum, which rounds once less; which kernels it did is up to the build, so a
    value may follow either rule. `dequantize` has no such choice.
    """
    rng = np.random.default_rng(seed)
    count = (rows, 1) if per_channel else ()
    scale, zero_point = draw_scales(rng, count), draw_integers(rng, dtype, count)
    x = draw_floats(rng, rng.normal(0, 100, (rows, columns)), scale)
    offset = zero_point.astype(np.float32)

    def added_first(steps):
        return np.rint(steps + offset) - offset

    def fused(steps):
        factor = (1 / scale).astype(np.float64)
        return np.rint((x * factor + offset).astype(np.float32)) - offset

    parameters = scale.reshape(-1 if count else ()), zero_point.reshape(-1 if count else ())
    with warnings.catch_warnings(action="ignore"):  # deprecated, and what eager mode runs on
        kind = getattr(torch, f"q{dtype}")
        if count:
            tensors = [torch.from_numpy(parameters[0]), torch.from_numpy(parameters[1].astype(int))]
            q = torch.quantize_per_channel(torch.from_numpy(x), *tensors, 0, kind)
        else:
            q = torch.quantize_per_tensor(
                torch.from_numpy(x), *map(np.ndarray.item, parameters), kind
            )
    theirs = q.int_repr().numpy()
    same(reference.dequantize_linear(theirs, *parameters, axis=0), q.dequantize())
    rules = (added_first, fused)
    if "fbgemm" not in torch.backends.quantized.supported_engines:  # not on ARM
        rules = (np.rint, np.rint)
    either = [
        reference.quantize_linear(x, *parameters, dtype, axis=0, rounding=rule, inverse=True)
        for rule in rules
    ]
    same(np.where(theirs == either[0], *either), theirs)


@functools.cache
def tensorflow_quantizes_with_onednn() -> bool:
    """Whether TensorFlow hands half-to-even int8 to oneDNN, as it does on CPUs with VNNI or AMX.

    That kernel has 127 steps for the range of 128, whatever the operator's documentation says:
    1.5 with a scale of 1 becomes 1. TF_ENABLE_ONEDNN_OPTS=0 turns it off.
    """
    import tensorflow as tf

    options = {"mode": "SCALED", "round_mode": "HALF_TO_EVEN", "ensure_minimum_range": 0}
    q = tf.quantization.quantize(np.float32([1.5]), -128.0, 0, tf.qint8, **options)
    return tf.bitcast(q.output, "int8").numpy()[0] == 1


def check_tensorflow(seed, dtype, size):
    """tf.quantization.quantize, both its round modes; fake_quant_with_min_max_vars."""
    import tensorflow as tf

    rng = np.random.default_rng(seed)
    scale, dtype = draw_scales(rng), {"uint8": "int16"}.get(dtype, dtype)  # symmetric: signed
    low, high = reference.limits(dtype)
    x = draw_floats(rng, rng.normal(0, high, size), scale)
    for mode, rounding in [
        ("HALF_TO_EVEN", np.rint),
        ("HALF_AWAY_FROM_ZERO", reference.round_half_away),
    ]:
        if (mode, dtype) == ("HALF_TO_EVEN", "int8") and tensorflow_quantizes_with_onednn():
            continue
        kind = {"int8": tf.qint8, "int16": tf.qint16}[dtype]
        q = tf.quantization.quantize(
            x, low * scale, 0, kind, mode="SCALED", round_mode=mode, ensure_minimum_range=0
        )
        theirs = tf.bitcast(q.output, dtype).numpy()
        same(reference.quantize_linear(x, scale, 0, dtype, rounding=rounding, inverse=True), theirs)

    top = scale * np.float32(255)
    theirs = tf.quantization.fake_quant_with_min_max_vars(x, 0.0, top).numpy()
    scale, zero_point = reference.quantization_parameters(0, top)
    ours = reference.quantize_linear(
        x, scale, zero_point, rounding=lambda steps: np.floor(steps + np.float32(0.5))
    )
    same(reference.dequantize_linear(ours, scale, zero_point), theirs)


def check_dynamic(seed, shape):
    rng = np.random.default_rng(seed)
    x = draw_floats(rng, rng.normal(rng.normal(0, 100), 100, shape), draw_scales(rng))
    theirs = onnx_runtime("DynamicQuantizeLinear", [x], "uint8", "float32", "uint8")
    for ours, their in zip(reference.dynamic_quantize_linear(x), theirs, strict=True):
        same(ours, their)


def draw_weights(rng, dtype, shape) -> np.ndarray:
    # Without the instruction, ONNX Runtime adds two 8-bit products in 16 bits, which saturates.
    narrow = dtype == "int8" and not has_int8_dot_product()
    return draw_integers(rng, dtype, shape, bits=7 if narrow else None)


def draw_layer_scales(rng, count):
    """Scales of input, weights and output that use the output's range, half of them with ties."""
    x_scale, w_scale = draw_scales(rng), draw_scales(rng, count)
    y_scale = (
        x_scale * w_scale.max() * np.exp2(rng.integers(0, 14) + rng.integers(2) * rng.random())
    )
    return x_scale, w_scale, np.float32(y_scale)


def check_matmul(seed, a_dtype, b_dtype, m, k, n, per_column):
    rng = np.random.default_rng(seed)
    b_dtype = "int8" if a_dtype == "int8" else b_dtype  # ONNX Runtime has no int8 times uint8
    count = (n,) if per_column else ()
    a, b = draw_integers(rng, a_dtype, (m, k)), draw_weights(rng, b_dtype, (k, n))
    a_zero_point, b_zero_point = draw_integers(rng, a_dtype), draw_integers(rng, b_dtype, count)
    ours = reference.matmul_integer(a, b, a_zero_point, b_zero_point)
    same(ours, onnx_runtime("MatMulInteger", [a, b, a_zero_point, b_zero_point], "int32"))

    a_scale, b_scale, y_scale = draw_layer_scales(rng, count)
    inputs = [a, a_scale, a_zero_point, b, b_scale, b_zero_point]
    inputs += [y_scale, draw_integers(rng, a_dtype)]
    same(reference.qlinear_matmul(*inputs), onnx_runtime("QLinearMatMul", inputs, a_dtype))


def check_conv(seed, x_dtype, w_dtype, kernel, group, options, per_channel):
    rng = np.random.default_rng(seed)
    strides, dilations, pads = options
    w_dtype = "int8" if x_dtype == "int8" else w_dtype  # ONNX Runtime has no int8 times uint8
    size, channels = rng.integers(7, 10, 2), rng.integers(1, 4, 2)
    x = draw_integers(rng, x_dtype, (rng.integers(1, 3), channels[0] * group, *size))
    w = draw_weights(rng, w_dtype, (channels[1] * group, channels[0], *kernel))
    x_zero_point, w_zero_point = draw_integers(rng, x_dtype), draw_integers(rng, w_dtype, len(w))
    conv = {"strides": strides, "pads": pads, "dilations": dilations, "group": group}

    ours = reference.conv_integer(x, w, x_zero_point, w_zero_point, **conv)
    reals = torch.from_numpy(x.astype(np.float64) - x_zero_point)
    reals = torch.nn.functional.pad(reals, (pads[1], pads[3], pads[0], pads[2]))
    weights = torch.from_numpy(w.astype(np.float64) - w_zero_point.reshape(-1, 1, 1, 1))
    theirs = torch.conv2d(reals, weights, None, strides, 0, dilations, group)
    same(ours, theirs.to(torch.int32))

    inputs = [x, w, x_zero_point, w_zero_point[0]]
    same(
        reference.conv_integer(*inputs, **conv),
        onnx_runtime("ConvInteger", inputs, "int32", **conv),
    )

    count = (len(w),) if per_channel else ()
    bias = draw_integers(rng, "int32", len(w), 16)
    x_scale, w_scale, y_scale = draw_layer_scales(rng, count)
    inputs = [x, x_scale, x_zero_point, w, w_scale, w_zero_point[0]]
    inputs += [y_scale, draw_integers(rng, x_dtype)]
    if rng.integers(2):
        inputs.append(bias)
    same(
        reference.qlinear_conv(*inputs, **conv),
        onnx_runtime("QLinearConv", inputs, x_dtype, **conv),
    )


SHAPE = st.lists(st.integers(1, 12), min_size=1, max_size=3)
TYPE = st.sampled_from(["int8", "uint8", "int16", "uint16"])
PAIR = st.tuples(st.integers(1, 2), st.integers(1, 2))
PADS = st.sampled_from([(0, 0, 0, 0), (1, 1, 1, 1), (0, 1, 2, 0), (2, 0, 0, 1)])
KERNEL = st.tuples(st.integers(1, 3), st.integers(1, 3))
CHECKS = {  # how many cases, and what Hypothesis draws for each
    check_quantize: (3000, (SEED, TYPE, SHAPE, st.booleans())),
    check_torch_quantize: (2000, (SEED, INT8, SIZE, SIZE, st.booleans())),
    check_tensorflow: (1000, (SEED, INT8, SIZE)),
    check_dynamic: (1500, (SEED, SHAPE)),
    check_matmul: (1500, (SEED, INT8, INT8, SIZE, SIZE, SIZE, st.booleans())),
    check_conv: (
        1000,
        (SEED, INT8, INT8, KERNEL, st.integers(1, 3), st.tuples(PAIR, PAIR, PADS), st.booleans()),
    ),
}


@pytest.fixture(autouse=True)
def one_thread():
    """PyTorch's threads cost these small arrays more than they save."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_equals_the_runtime(check):
    count, strategies = CHECKS[check]
    run(check, strategies, count)


def test_ten_thousand_cases():
    assert sum(count for count, _ in CHECKS.values()) >= 10_000


FAULTS = [
    (check_quantize, "quantize_linear", "rounding=np.rint", "rounding=round_half_away"),
    (check_quantize, "quantize_linear", "else x / scale", "else x * (1 / scale)"),
    (check_quantize, "quantize_linear", "inverse else", "False else"),
    (check_quantize, "quantize_linear", "np.clip(", "(lambda q, *limits: q)("),
    (check_quantize, "quantize_linear", "high = limits(dtype)", "high = np.add(limits(dtype), 1)"),
    (check_quantize, "quantize_linear", "dtype), x.shape, axis", "dtype), x.shape, 0"),
    (
        check_quantize,
        "dequantize_linear",
        "_spread(scale, q.shape, axis",
        "_spread(scale, q.shape, 0",
    ),
    (check_quantize, "round_half_away", ">= 0.5", "> 0.5"),
    (check_dynamic, "quantization_parameters", "np.minimum(np.float32(low), 0)", "np.float32(low)"),
    (
        check_dynamic,
        "quantization_parameters",
        "(quant_max - quant_min)",
        "(quant_max - quant_min + 1)",
    ),
    (check_dynamic, "quantization_parameters", "np.rint(", "np.floor("),
    (check_matmul, "matmul_integer", "b_zero_point))", "0))"),
    (check_matmul, "qlinear_matmul", "a_scale * b_scale / ", "a_scale / b_scale * "),
    (check_matmul, "requantize", "rounding=np.rint", "rounding=round_half_away"),
    (check_matmul, "requantize", "np.clip(", "(lambda q, *limits: q)("),
    (
        check_conv,
        "conv_integer",
        "(left, right)))",
        "(left, right)), constant_values=-x_zero_point)",
    ),
    (check_conv, "conv_integer", "left, bottom, right = pads", "bottom, left, right = pads"),
    (check_conv, "conv_integer", ":: strides[0]", ":: strides[1]"),
    (check_conv, "conv_integer", "w.dtype), w.shape, 0)", "w.dtype), w.shape, 1)"),
    (check_conv, "qlinear_conv", "accumulator + bias", "accumulator"),
]


@pytest.mark.parametrize(
    ("check", "function", "right", "wrong"), FAULTS, ids=[f"{f[1]}-{f[3]}" for f in FAULTS]
)
def test_catches_a_fault(monkeypatch, check, function, right, wrong):
    monkeypatch.setitem(globals(), "reference", faulty_reference(function, right, wrong))
    with np.errstate(invalid="ignore"), pytest.raises((AssertionError, ValueError)):
        run(check, CHECKS[check][1], 300, phases=[Phase.generate])
