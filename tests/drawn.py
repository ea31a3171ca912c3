"""Checks on cases that Hypothesis draws, and what shows that a check can fail."""

import inspect
import types

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from handbook import reference


def same(ours, theirs):
    """Assert equal type, shape and values."""
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
    assert np.array_equal(ours, theirs)


def run(check, strategies, count, **options):
    """Run `count` drawn cases of a check, the same ones every time."""
    ran = 0

    @settings(
        max_examples=count,
        derandomize=True,
        database=None,
        deadline=None,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
        **options,
    )
    @given(st.tuples(*strategies))
    def cases(case):
        nonlocal ran
        ran += 1
        with np.errstate(over="ignore"):
            check(*case)

    cases()
    assert ran >= count


def faulty_reference(function: str, right: str, wrong: str):
    """handbook.reference with a fault in one function: `wrong` where its source says `right`."""
    source = inspect.getsource(getattr(reference, function))
    assert source.count(right) == 1
    faulty = types.ModuleType("faulty")
    exec(inspect.getsource(reference).replace(source, source.replace(right, wrong)), vars(faulty))
    return faulty
