"""An int8 .tflite network in NumPy, with the arithmetic of TFLite's kernels to the last bit.

It knows the operators of the running example. examples/affine/integer_only_inference.py explains
the same steps one by one. Sources: TensorFlow Lite, kernels/internal/reference; XNNPACK,
src/microparams-init.c.
"""

import numpy as np

from handbook.reference import fixed_point_multiplier, requantize_fixed_point
from handbook.tflite import Operator

KNOWN = ("PAD", "CONV_2D", "DEPTHWISE_CONV_2D", "ADD", "CONCATENATION", "MEAN", "FULLY_CONNECTED")


def run_integers(operators: list[Operator], q: np.ndarray, kernels: str) -> np.ndarray:
    """Return the int8 output of the network (of `read_tflite`) for int8 images `q` (N, H, W, C).

    `kernels` is "reference", which uses integers only, or "xnnpack", which multiplies sums by a
    float32. The batch should be small: all activations are kept. An operator that is not KNOWN, or
    a concatenation that would have to rescale, is a ValueError.
    """
    product, add = {
        "reference": (_reference_product, _reference_add),
        "xnnpack": (_xnnpack_product, _xnnpack_add),
    }[kernels]
    x = operators[0].inputs[0]
    values = {x.index: q.astype(np.int32) - x.zero_point}  # all values without their zero point
    for name, (x, *others), y, options in operators:
        if name not in KNOWN:
            raise ValueError(f"{name} is not one of {KNOWN}")
        a, second = values[x.index], others[0]
        if name == "PAD":
            a = np.pad(a, second.data)
        elif name == "ADD":
            a = add(a, x.scale, values[second.index], second.scale, y.scale)
        elif name == "CONCATENATION":
            if any(each.scale != y.scale for each in (x, *others)):
                raise ValueError("a concatenation of tensors with different scales")
            a = np.concatenate([a, *(values[each.index] for each in others)], options["axis"])
        elif name == "MEAN":
            a = product(a.sum((1, 2), np.int32), x.scale, 1, y.scale, count=a[0, ..., 0].size)
        else:  # the weight is int8, the bias int32
            linear, w, bias = name == "FULLY_CONNECTED", second.data, others[1].data
            a = a @ w.T.astype(np.int32) if linear else _convolve(a, w, name, options)
            a = product(a + bias, x.scale, second.scale, y.scale, linear)
        low = 0 if options.get("fusedActivationFunction") else -128 - y.zero_point  # ReLU: 0
        values[y.index] = np.clip(a, low, 127 - y.zero_point).astype(np.int32)
    return (values[y.index] + y.zero_point).astype(np.int8)


def _convolve(x, w, name, options):  # w is (outputs, height, width, inputs); x is NHWC
    size, stride = w.shape[1], options["strideH"]
    if options["padding"] == 0:  # SAME, here with stride 1
        if stride != 1:
            raise ValueError(f"{name} with padding SAME and a stride of {stride}")
        x = np.pad(x, ((0, 0), (size // 2, size // 2), (size // 2, size // 2), (0, 0)))
    # NumPy's matrix product is fast for floats. float32 holds all integers to 2 ** 24, which the
    # sum over the channels of one pixel stays below.
    if x.shape[-1] * 255 * 128 >= 2**24:
        raise ValueError(f"{name} with {x.shape[-1]} channels needs more than 24 bits")
    x, w, end, total = x.astype(np.float32), w.astype(np.float32), x.shape[1] - size + 1, 0
    for i, j in np.ndindex(size, size):
        window = x[:, i : i + end : stride, j : j + end : stride]
        part = window @ w[:, i, j].T if name == "CONV_2D" else window * w[0, i, j]
        total = total + part.astype(np.int32)
    return total


def _fixed_point(total, multiplier, count=1, twice=True):
    m, shift = np.transpose([fixed_point_multiplier(each) for each in np.ravel(multiplier)])
    bits = count.bit_length() - 1  # the division of a mean by count moves into the multiplier
    return requantize_fixed_point(total, (m << bits) // count, shift - bits, rounding_twice=twice)


def _reference_product(total, x_scale, w_scale, y_scale, linear=False, count=1):
    multiplier = np.float64(x_scale) * w_scale / y_scale
    if linear:  # this one kernel multiplies floats, and takes a tie away from zero
        return np.sign(total) * _fixed_point(np.abs(total), multiplier, count, twice=False)
    return _fixed_point(total, multiplier, count)


def _reference_add(a, a_scale, b, b_scale, y_scale):
    largest = 2 * np.float64(max(a_scale, b_scale))
    a = _fixed_point(a << 20, a_scale / largest)  # 20 more bits keep what rounding would lose
    b = _fixed_point(b << 20, b_scale / largest)
    return _fixed_point((a + b).astype(np.int32), largest / (2**20 * np.float64(y_scale)))


def _xnnpack_product(total, x_scale, w_scale, y_scale, linear=False, count=1):
    return np.rint(total.astype(np.float32) * (x_scale * w_scale / (count * y_scale)))


def _xnnpack_add(a, a_scale, b, b_scale, y_scale):
    shift = 21 - np.frexp(max(a_scale, b_scale) / y_scale)[1]  # the larger one gets 21 bits
    m_a, m_b = (int(np.rint(np.ldexp(s / y_scale, shift))) for s in (a_scale, b_scale))
    return (a * m_a + b * m_b + (1 << (shift - 1))) >> shift
