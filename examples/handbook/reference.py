"""Affine quantization in NumPy: ONNX's operators, and both ways to requantize.

Each function is a formula with its checks. tests/test_reference.py compares them with ONNX's own
node tests, PyTorch, ONNX Runtime, LiteRT and TensorFlow. Bad input is a ValueError.

Sources: the ONNX operators' specification (onnx.ai/onnx/operators); Jacob et al. 2018
(arXiv:1712.05877) for `fixed_point_multiplier` and `requantize_fixed_point`.
"""

import math

import ml_dtypes
import numpy as np


def limits(dtype) -> tuple[int, int]:
    """Return the smallest and the largest value of an integer type, 4 and 2 bits included."""
    dtype = np.dtype(dtype)
    try:
        info = ml_dtypes.iinfo(dtype)
    except ValueError:
        info = None
    if info is None or info.bits > 32:
        raise ValueError(f"expected an integer type such as int8, not {dtype}")
    return int(info.min), int(info.max)


def round_half_away(x) -> np.ndarray:
    """Round to the nearest integer, a tie away from zero as C's round(); np.rint takes the even."""
    whole = np.trunc(x)
    with np.errstate(invalid="ignore"):  # infinity stays what it is
        return whole + np.copysign(np.abs(x - whole) >= 0.5, x)


def quantization_parameters(low, high, dtype="uint8", *, symmetric=False):
    """Return scale (float32) and zero point (`dtype`) for real values from `low` to `high`.

    The range is widened to hold 0, which becomes exact. `symmetric`: the zero point is the middle
    of the type, and its lowest value stays unused ([-127, 127] for int8). `low` and `high` are
    scalars, or arrays (C,) of one range for each channel. A range of zero width has a scale of 1.
    """
    quant_min, quant_max = limits(dtype)
    low, high = np.minimum(np.float32(low), 0), np.maximum(np.float32(high), 0)
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        raise ValueError("the range must be finite: look for NaN and infinity in the data")
    if symmetric:
        high = np.maximum(-low, high)
        low, quant_min = -high, quant_min + 1
    with np.errstate(over="ignore"):
        scale = np.float32((high - low) / np.float32(quant_max - quant_min))
    if not np.isfinite(scale).all():
        raise ValueError("the range is too wide for a float32 scale")
    scale = np.where(scale > 0, scale, np.float32(1))[()]
    if symmetric:
        return scale, np.full_like(scale, (quant_min + quant_max) // 2, dtype=dtype)[()]
    zero_point = np.clip(np.rint(quant_min - low / scale), quant_min, quant_max)
    return scale, zero_point.astype(dtype)


def quantize_linear(
    x, scale, zero_point=0, dtype="uint8", *, axis=1, block_size=0, rounding=np.rint, inverse=False
) -> np.ndarray:
    """Return clamp(round(x / scale) + zero_point) as integers of `dtype`, of the shape of `x`.

    `x` holds floats. `scale` (floats above 0) and `zero_point` (within `dtype`) are scalars, or
    have one value for each index along `axis`, or, with a `block_size`, for each block along it.
    `inverse` multiplies by the rounded 1 / scale, as PyTorch and XNNPACK do; ONNX divides.
    """
    x, scale = _floats(x), _scales(scale)
    low, high = limits(dtype)
    scale = _spread(scale, x.shape, axis, block_size)
    zero_point = _spread(_zero_points(zero_point, dtype), x.shape, axis, block_size)
    with np.errstate(over="ignore"):  # saturates
        steps = x * (np.ones_like(scale) / scale) if inverse else x / scale
    return np.clip(rounding(steps).astype(np.float64) + zero_point, low, high).astype(dtype)


def dequantize_linear(q, scale, zero_point=0, *, axis=1, block_size=0) -> np.ndarray:
    """Return (q - zero_point) * scale, floats of the type of `scale` and the shape of `q`.

    `scale` and `zero_point` as in `quantize_linear`.
    """
    q, scale = _integers(q), _scales(scale)
    zero_point = _spread(_zero_points(zero_point, q.dtype), q.shape, axis, block_size)
    steps = (q.astype(np.int64) - zero_point).astype(scale.dtype)
    return steps * _spread(scale, q.shape, axis, block_size)


def dynamic_quantize_linear(x) -> tuple[np.ndarray, np.float32, np.uint8]:
    """Return `x` as uint8, with the scale and the zero point that its own range gives."""
    x = _floats(x)
    if not x.size:
        raise ValueError("an empty tensor has no range")
    scale, zero_point = quantization_parameters(x.min(), x.max())
    return quantize_linear(x, scale, zero_point), scale, zero_point


def matmul_integer(a, b, a_zero_point=0, b_zero_point=0) -> np.ndarray:
    """Return (a - a_zero_point) @ (b - b_zero_point) as int32 (..., M, N).

    `a` (..., M, K) and `b` (..., K, N) hold integers of 16 bits or fewer; `a_zero_point` is a
    scalar or (M,), `b_zero_point` a scalar or (N,). A sum beyond 32 bits is a ValueError.
    """
    a, b = _integers(a, bits=16), _integers(b, bits=16)
    if a.ndim < 2 or b.ndim < 2 or a.shape[-1] != b.shape[-2]:
        raise ValueError(f"expected (..., M, K) and (..., K, N), not {a.shape} and {b.shape}")
    a_zero_point = _spread(_zero_points(a_zero_point, a.dtype), a.shape, -2)
    b_zero_point = _spread(_zero_points(b_zero_point, b.dtype), b.shape, -1)
    # float64 holds every integer up to 2 ** 53, and has a fast matrix product.
    return _int32((a.astype(np.float64) - a_zero_point) @ (b.astype(np.float64) - b_zero_point))


def conv_integer(
    x, w, x_zero_point=0, w_zero_point=0, *,
    strides=(1, 1), pads=(0, 0, 0, 0), dilations=(1, 1), group=1,
) -> np.ndarray:  # fmt: skip
    """Return the convolution of x - x_zero_point with w - w_zero_point as int32 (N, M, OH, OW).

    `x` is (N, C, H, W), `w` (M, C / group, KH, KW), `pads` (top, left, bottom, right); the padding
    stands for real zeros. `w_zero_point` is a scalar or (M,).
    """
    x, w = _integers(x, bits=16), _integers(w, bits=16)
    if x.ndim != 4 or w.ndim != 4 or x.shape[1] != w.shape[1] * group or len(w) % group:
        raise ValueError(f"{x.shape} and {w.shape} are no 2-D convolution of {group} groups")
    x = x.astype(np.float64) - _spread(_zero_points(x_zero_point, x.dtype), x.shape, 1)
    w = w.astype(np.float64) - _spread(_zero_points(w_zero_point, w.dtype), w.shape, 0)
    top, left, bottom, right = pads
    x = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    reach = [(w.shape[2] - 1) * dilations[0] + 1, (w.shape[3] - 1) * dilations[1] + 1]
    windows = np.lib.stride_tricks.sliding_window_view(x, reach, axis=(2, 3))
    windows = windows[:, :, :: strides[0], :: strides[1], :: dilations[0], :: dilations[1]]
    n, _, height, width = windows.shape[:4]
    columns = windows.reshape(n, group, -1, height, width, w[0, 0].size)  # one matmul a group
    columns = columns.transpose(0, 1, 2, 5, 3, 4).reshape(n, group, -1, height * width)
    return _int32(w.reshape(group, len(w) // group, -1) @ columns).reshape(n, -1, height, width)


def requantize(accumulator, multiplier, zero_point, dtype, *, rounding=np.rint) -> np.ndarray:
    """Return clamp(round(accumulator * multiplier) + zero_point) as `dtype`, in float32 arithmetic.

    `accumulator` holds int32; `multiplier`, the product of the input scales over the output scale,
    must broadcast to it. This is what ONNX Runtime, PyTorch and XNNPACK do.
    """
    low, high = limits(dtype)
    steps = _integers(accumulator).astype(np.float32) * _scales(multiplier)
    zero_point = _zero_points(zero_point, dtype)
    return np.clip(rounding(steps).astype(np.float64) + zero_point, low, high).astype(dtype)


def qlinear_matmul(
    a, a_scale, a_zero_point, b, b_scale, b_zero_point, y_scale, y_zero_point
) -> np.ndarray:
    """Return the quantized product of quantized matrices, of the type of `y_zero_point`.

    Shapes as in `matmul_integer`; `a_scale` is a scalar or (M,), `b_scale` a scalar or (N,).
    """
    accumulator = matmul_integer(a, b, a_zero_point, b_zero_point)
    a_scale = _spread(_scales(a_scale), accumulator.shape, -2)
    b_scale = _spread(_scales(b_scale), accumulator.shape, -1)
    multiplier = a_scale * b_scale / _scales(y_scale)
    return requantize(accumulator, multiplier, y_zero_point, np.asarray(y_zero_point).dtype)


def qlinear_conv(
    x, x_scale, x_zero_point, w, w_scale, w_zero_point, y_scale, y_zero_point, bias=None, **conv
) -> np.ndarray:
    """Return the quantized convolution of quantized tensors, of the type of `y_zero_point`.

    Shapes and `conv` as in `conv_integer`; `w_scale` is a scalar or (M,); `bias` (M,) is int32 with
    the scale x_scale * w_scale.
    """
    accumulator = conv_integer(x, w, x_zero_point, w_zero_point, **conv)
    if bias is not None:
        bias = _spread(_integers(bias).astype(np.int64), accumulator.shape, 1)
        accumulator = _int32(accumulator + bias)
    w_scale = _spread(_scales(w_scale), accumulator.shape, 1)
    multiplier = _scales(x_scale) * w_scale / _scales(y_scale)
    return requantize(accumulator, multiplier, y_zero_point, np.asarray(y_zero_point).dtype)


def fixed_point_multiplier(multiplier: float) -> tuple[int, int]:
    """Return (m, shift) with multiplier = m * 2 ** (shift - 31), where m has 31 bits.

    That is how TFLite stores a real multiplier (above 0) to requantize with integers alone.
    """
    if not (math.isfinite(multiplier) and multiplier > 0):
        raise ValueError(f"expected a multiplier above 0, not {multiplier}")
    fraction, shift = math.frexp(multiplier)
    m = math.floor(fraction * 2**31 + 0.5)
    if m == 2**31:
        m, shift = m // 2, shift + 1
    return (m, shift) if shift >= -31 else (0, 0)  # too small to leave a bit


def requantize_fixed_point(accumulator, m, shift, *, rounding_twice=True) -> np.ndarray:
    """Return accumulator * m * 2 ** (shift - 31) as integers (int64), without floats.

    `m` and `shift` come from `fixed_point_multiplier`, and broadcast to `accumulator` (int32).
    TFLite's reference kernels round a convolution twice: the upper half of the product (a tie up),
    then the shift to the right (a tie away from zero). With one rounding, a tie goes up.
    A shift to the left beyond 32 bits is a ValueError; in TFLite it wraps.
    """
    product = _integers(accumulator).astype(np.int64)
    m, shift = np.asarray(m, np.int64), np.asarray(shift, np.int64)
    if not ((shift >= -31) & (shift <= 30)).all():
        raise ValueError("a shift lies between -31 and 30")
    if not rounding_twice:
        return (product * m + (1 << (30 - shift))) >> (31 - shift)
    left, right = np.maximum(shift, 0), np.maximum(-shift, 0)
    high = (_int32(product << left).astype(np.int64) * m + (1 << 30)) >> 31
    mask = (1 << right) - 1
    return (high >> right) + ((high & mask) > (mask >> 1) + (high < 0))


def _floats(x) -> np.ndarray:
    x = np.asarray(x)
    if x.dtype.kind != "f":
        raise ValueError(f"expected floats to quantize, not {x.dtype}")
    if np.isnan(x).any():
        raise ValueError("NaN has no integer: find where it comes from before you quantize")
    return x


def _integers(q, bits=32) -> np.ndarray:
    q = np.asarray(q)
    low, high = limits(q.dtype)
    if high - low >= 2**bits:
        raise ValueError(f"expected integers of {bits} bits or fewer, not {q.dtype}")
    return q


def _scales(scale) -> np.ndarray:
    scale = np.asarray(scale)
    scale = scale if scale.dtype in (np.float16, np.float32) else scale.astype(np.float32)
    if not (np.isfinite(scale).all() and (scale > 0).all()):
        raise ValueError("a scale is finite and above 0")
    return scale


def _zero_points(zero_point, dtype) -> np.ndarray:
    zero_point, (low, high) = np.asarray(zero_point).astype(np.float64), limits(dtype)
    if not ((low <= zero_point) & (zero_point <= high)).all() or (zero_point % 1).any():
        raise ValueError(f"a zero point of {np.dtype(dtype)} is an integer from {low} to {high}")
    return zero_point


def _spread(parameter, shape, axis, block_size=0) -> np.ndarray:
    """Give `parameter` a shape that broadcasts to `shape`: one value, one an index, one a block."""
    if parameter.size == 1:
        return parameter.reshape(())
    if block_size:
        if parameter.ndim == len(shape):
            parameter = np.repeat(parameter, block_size, axis)
            parameter = np.take(parameter, range(min(parameter.shape[axis], shape[axis])), axis)
        if parameter.shape != tuple(shape):
            raise ValueError(f"no blocks of {block_size} along axis {axis} of {tuple(shape)}")
        return parameter
    if not -len(shape) <= axis < len(shape) or parameter.shape != (shape[axis],):
        raise ValueError(f"{parameter.shape} has no value for each index of axis {axis} of {shape}")
    return parameter.reshape([-1 if i == axis % len(shape) else 1 for i in range(len(shape))])


def _int32(total) -> np.ndarray:
    low, high = limits(np.int32)
    if total.size and not low <= total.min() <= total.max() <= high:
        raise ValueError("a sum needs more than 32 bits")
    return total.astype(np.int32)
