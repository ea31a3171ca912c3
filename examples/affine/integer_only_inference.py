"""A network in integers only.

NumPy runs the operators of int8.tflite on all test images: as TFLite's reference kernels do, in
integers only, and as XNNPACK does, with one product in float32. bit_exact.py compares the logits.
Source: TensorFlow Lite, kernels/internal/reference; XNNPACK, src/microparams-init.c.
"""

# %% load
import numpy as np

from handbook.data import fashion_mnist
from handbook.record import artifact
from handbook.reference import fixed_point_multiplier, requantize_fixed_point
from handbook.tflite import read_tflite

operators = read_tflite(artifact("affine/quantized_models/int8.tflite"))


# %% convolve
def convolve(x, w, name, options, dtype):
    size, stride = w.shape[1], options["strideH"]  # NHWC; w is (outputs, height, width, inputs)
    if stride == 1:  # else an operator of its own has padded
        x = np.pad(x, ((0, 0), (size // 2, size // 2), (size // 2, size // 2), (0, 0)))
    x, w, end, total = x.astype(dtype), w.astype(dtype), x.shape[1] - size + 1, 0
    for i, j in np.ndindex(size, size):
        window = x[:, i : i + end : stride, j : j + end : stride]
        total += window @ w[:, i, j].T if name == "CONV_2D" else window * w[0, i, j]
    return total.astype(np.int32)


# %% reference
def fixed_point(total, multiplier, count=1, twice=True):
    m, shift = np.transpose([fixed_point_multiplier(each) for each in np.ravel(multiplier)])
    bits = count.bit_length() - 1  # the division of a mean by count moves into the multiplier
    return requantize_fixed_point(total, (m << bits) // count, shift - bits, rounding_twice=twice)


def reference_product(total, x_scale, w_scale, y_scale, linear=False, count=1):
    multiplier = np.float64(x_scale) * w_scale / y_scale
    if linear:  # this one kernel multiplies floats, and takes a tie away from zero
        return np.sign(total) * fixed_point(np.abs(total), multiplier, count, twice=False)
    return fixed_point(total, multiplier, count)


def reference_add(a, a_scale, b, b_scale, y_scale):
    largest = 2 * np.float64(max(a_scale, b_scale))
    a = fixed_point(a << 20, a_scale / largest)  # 20 more bits keep what rounding would lose
    b = fixed_point(b << 20, b_scale / largest)
    return fixed_point((a + b).astype(np.int32), largest / (2**20 * np.float64(y_scale)))


# %% xnnpack
def xnnpack_product(total, x_scale, w_scale, y_scale, linear=False, count=1):
    return np.rint(total.astype(np.float32) * (x_scale * w_scale / (count * y_scale)))


def xnnpack_add(a, a_scale, b, b_scale, y_scale):
    shift = 21 - np.frexp(max(a_scale, b_scale) / y_scale)[1]  # the larger one gets 21 bits
    m_a, m_b = (int(np.rint(np.ldexp(s / y_scale, shift))) for s in (a_scale, b_scale))
    return (a * m_a + b * m_b + (1 << (shift - 1))) >> shift


# %% network
def run(q, product, add, dtype=np.float64):
    x = operators[0].inputs[0]
    values = {x.index: q.astype(np.int32) - x.zero_point}  # all values without their zero point
    for name, (x, second, *bias), y, options in operators:
        a, b = values[x.index], values.get(second.index)
        if name == "PAD":
            a = np.pad(a, second.data)
        elif name == "ADD":
            a = add(a, x.scale, b, second.scale, y.scale)
        elif name == "CONCATENATION":  # the converter gave all three tensors one scale
            a = np.concatenate([a, b], axis=3)
        elif name == "MEAN":
            a = product(a.sum((1, 2), np.int32), x.scale, 1, y.scale, count=a[0, ..., 0].size)
        else:  # the weight is int8, the bias int32
            linear, w = name == "FULLY_CONNECTED", second.data
            a = a @ w.T.astype(np.int32) if linear else convolve(a, w, name, options, dtype)
            a = product(a + bias[0].data, x.scale, second.scale, y.scale, linear)
        low = 0 if options.get("fusedActivationFunction") else -128 - y.zero_point  # ReLU: 0
        values[y.index] = np.clip(a, low, 127 - y.zero_point).astype(np.int32)
    return (values[y.index] + y.zero_point).astype(np.int8)


# %% run
reference, xnnpack = (reference_product, reference_add), (xnnpack_product, xnnpack_add)
once = (lambda *layer, **mean: reference_product(*layer[:4], True, **mean), reference_add)
pixels, _ = fashion_mnist("test", raw=True)
batches = np.split((pixels.astype(np.int16) - 128).astype(np.int8)[..., np.newaxis], 200)
# NumPy has a fast matrix product of float64, which holds all integers to 2 ** 53, none of int32.
assert np.array_equal(run(batches[0], *reference, np.int32), run(batches[0], *reference))
logits = {
    "integers only": [run(batch, *reference) for batch in batches],
    "product in float32": [run(batch, *xnnpack) for batch in batches],
    "one rounding": [run(batch, *once) for batch in batches[:40]],
}
path = artifact("affine/integer_only_inference/logits.npz")
np.savez(path, **{name: np.concatenate(parts) for name, parts in logits.items()})
