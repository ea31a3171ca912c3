"""handbook.without_vnni sums as the instruction VPMADDUBSW does, two products at a time."""

import numpy as np
import pytest

from handbook.without_vnni import _sums


def by_definition(x, w, saturate):
    """Each sum by itself, in Python's integers."""
    total = np.zeros((len(x), w.shape[1]), np.int32)
    for row, column in np.ndindex(total.shape):
        products = [int(a) * int(b) for a, b in zip(x[row], w[:, column], strict=True)]
        pairs = [sum(products[k : k + 2]) for k in range(0, len(products), 2)]
        total[row, column] = sum(min(max(p, -32768), 32767) if saturate else p for p in pairs)
    return total


@pytest.mark.parametrize("saturate", [False, True])
@pytest.mark.parametrize("k", [1, 2, 9, 16])  # odd: the last product has no partner
def test_sums(k, saturate):
    random = np.random.default_rng(k)
    x = random.integers(0, 256, (40, k)).astype(np.uint8)
    w = random.integers(-128, 128, (k, 12)).astype(np.int8)
    x[0], w[:, 0], w[:, 1] = 255, 127, -128  # the extremes
    np.testing.assert_array_equal(_sums(x, w, saturate), by_definition(x, w, saturate))


def test_seven_bits_never_saturate():
    x, w = np.full((1, 8), 255, np.uint8), np.array([[64, -64]] * 8, np.int8)
    np.testing.assert_array_equal(_sums(x, w, True), _sums(x, w, False))
    assert (_sums(x, np.full((8, 1), 65, np.int8), True) != 8 * 255 * 65).all()
