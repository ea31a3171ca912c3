"""Requantization in integers equals TFLite's definition in exact arithmetic.

The definition: QuantizeMultiplier (tensorflow/lite/kernels/internal/quantization_util.cc) and
MultiplyByQuantizedMultiplier (common.cc there), with the two roundings of gemmlowp's fixedpoint.h.
"""

import math
from fractions import Fraction

import numpy as np
import pytest
from drawn import faulty_reference, run, same
from hypothesis import Phase
from hypothesis import strategies as st

from handbook import reference


def fixed_point_by_definition(accumulator: int, multiplier: float, twice: bool) -> int:
    """TFLite's QuantizeMultiplier (quantization_util.cc) and MultiplyByQuantizedMultiplier
    (common.cc), with gemmlowp's two roundings (fixedpoint.h), in exact arithmetic."""
    fraction, shift = Fraction(multiplier), 0
    while fraction >= 1:
        fraction, shift = fraction / 2, shift + 1
    while fraction < Fraction(1, 2):
        fraction, shift = fraction * 2, shift - 1
    m = math.floor(fraction * 2**31 + Fraction(1, 2))
    if m == 2**31:
        m, shift = 2**30, shift + 1
    if shift < -31:
        m, shift = 0, 0
    if not twice:
        return math.floor(Fraction(accumulator * m) / 2 ** (31 - shift) + Fraction(1, 2))
    product = accumulator * 2 ** max(shift, 0) * m
    nudged = product + (2**30 if product >= 0 else 1 - 2**30)
    high = abs(nudged) // 2**31 * (1 if nudged >= 0 else -1)  # C's division truncates
    rounded = math.floor(Fraction(abs(high), 2 ** max(-shift, 0)) + Fraction(1, 2))
    return rounded if high >= 0 else -rounded


def check_fixed_point(seed, exponent, power_of_two):
    """Integers alone, against the definitions in exact arithmetic."""
    rng = np.random.default_rng(seed)
    fraction = 0.5 if power_of_two else rng.choice([rng.uniform(0.5, 1), np.nextafter(1, 0)])
    multiplier = math.ldexp(fraction, exponent)
    m, shift = reference.fixed_point_multiplier(multiplier)
    sizes = 2.0 ** rng.integers(1, 31 - max(shift, 0), 20, endpoint=True)
    accumulators = (sizes * rng.uniform(-1, 1, 20)).astype(np.int32)
    if shift <= 0:
        accumulators = np.append(accumulators, np.int32([0, 1, -1, 2**31 - 1, -(2**31)]))
    for twice in (True, False):
        ours = reference.requantize_fixed_point(accumulators, m, shift, rounding_twice=twice)
        exact = [fixed_point_by_definition(int(a), multiplier, twice) for a in accumulators]
        same(ours, np.array(exact))


STRATEGIES = st.integers(0, 2**32 - 1), st.integers(-34, 12), st.booleans()


def test_equals_the_definition():
    run(check_fixed_point, STRATEGIES, 1000)


FAULTS = [
    ("fixed_point_multiplier", "+ 0.5", ""),
    ("fixed_point_multiplier", "shift >= -31", "shift > -31"),
    ("requantize_fixed_point", "(1 << right) - 1", "(1 << right)"),
    ("requantize_fixed_point", " + (high < 0)", ""),
    ("requantize_fixed_point", "(1 << 30)) >> 31", "0) >> 31"),
    ("requantize_fixed_point", "(1 << (30 - shift))", "0"),
]


@pytest.mark.parametrize(("function", "right", "wrong"), FAULTS)
def test_catches_a_fault(monkeypatch, function, right, wrong):
    monkeypatch.setitem(globals(), "reference", faulty_reference(function, right, wrong))
    with pytest.raises(AssertionError):
        run(check_fixed_point, STRATEGIES, 300, phases=[Phase.generate])
