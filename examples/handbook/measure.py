"""What the examples measure: accuracy, agreement, differences in LSB, file size and latency.

Outputs are NumPy arrays, or CPU tensors of any framework. Bad input is a ValueError.
"""

import math
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import archspec.cpu
import numpy as np
from archspec.cpu.detect import detected_info

# The instructions that multiply int8 and add up, under their names in Linux.
INT8_DOT_PRODUCT = ("avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm")


class Accuracy(NamedTuple):
    """Correct answers and their 95 % interval, in percent, rounded to 0.01."""

    percent: float
    low: float
    high: float

    @property
    def interval(self) -> str:
        return f"{self.low:.1f}\N{EN DASH}{self.high:.1f}"


def accuracy(outputs, labels) -> Accuracy:
    """Return the accuracy of logits (N, classes) or classes (N,), with Wilson's interval (1927)."""
    correct = _same_class(outputs, labels)
    n, share = len(correct), float(correct.mean())
    z = statistics.NormalDist().inv_cdf(0.975)
    center = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * (share * (1 - share) / n + z**2 / (4 * n**2)) ** 0.5
    return Accuracy(*(round(100 * x, 2) for x in (share, center - half, center + half)))


def agreement(a, b) -> float:
    """Return for how many inputs two models answer the same, right or wrong, in percent to 0.01."""
    return round(100 * float(_same_class(a, b).mean()), 2)


class Paired(NamedTuple):
    """Right answers that a model loses and gains against another, and how likely by chance.

    `p` is that of McNemar's exact test (1947): how often two equally good models differ by as much.
    It finds differences that the intervals of two accuracies, which overlap far longer, hide.
    """

    lost: int
    gained: int
    p: float


def paired(outputs, baseline, labels) -> Paired:
    """Compare two models on the same inputs; logits (N, classes) or classes (N,) as in accuracy."""
    right, before = _same_class(outputs, labels), _same_class(baseline, labels)
    lost, gained = int((before & ~right).sum()), int((right & ~before).sum())
    n = lost + gained
    tail = sum(math.comb(n, k) for k in range(min(lost, gained) + 1))
    return Paired(lost, gained, float(f"{min(1, 2 * tail / 2**n):.2g}"))


def _same_class(a, b) -> np.ndarray:
    a, b = _classes(a), _classes(b)
    if a.shape != b.shape:
        raise ValueError(f"answers to {len(a)} and to {len(b)} inputs cannot be compared")
    return a == b


def score(logits, labels, float_logits) -> dict:
    """Return the columns that every table of results has, for logits (N, classes) of all images.

    They are the accuracy, its 95 % interval, and the agreement with the float model. Record them
    with `table(name, rows, **SCORE_TOLERANCE)`.
    """
    correct = accuracy(logits, labels)
    row = {"accuracy %": correct.percent, "95 % interval": correct.interval}
    return row | {"same answer as float %": agreement(logits, float_logits)}


SCORE_TOLERANCE = {
    "tolerance": {"accuracy %": 1, "95 % interval": 1, "same answer as float %": 1},
    "because": "another CPU's kernels sum in another order, and images near a tie change sides",
}


def _classes(outputs) -> np.ndarray:
    outputs = np.asarray(outputs)
    kinds = {1: "iu", 2: "iuf"}.get(outputs.ndim, "")
    if not outputs.size or outputs.dtype.kind not in kinds:
        got = f"{outputs.dtype} of shape {outputs.shape}"
        raise ValueError(f"expected logits (N, classes) or integer classes (N,), not {got}")
    if np.isnan(outputs).any():  # argmax would take NaN for the largest logit
        raise ValueError("the logits contain NaN")
    return outputs.argmax(axis=1) if outputs.ndim == 2 else outputs


def lsb_difference(a, b, scale: float = 1) -> int:
    """Return the largest difference of two quantized arrays in LSB, that is in integer steps.

    They are integers, or floats dequantized with `scale` (any zero point): multiples of it to
    within 0.01 steps. Anything else is a ValueError.
    """
    a, b = (np.asarray(x).astype(np.float64) / scale for x in (a, b))  # no uint8 wrap-around
    if a.shape != b.shape or not a.size:
        raise ValueError(f"expected two arrays of one shape, not {a.shape} and {b.shape}")
    if not all((np.abs(x - np.rint(x)) <= 0.01).all() for x in (a, b)):
        raise ValueError(f"values between the multiples of scale {scale}: not quantized with it")
    return int(np.abs(np.rint(a) - np.rint(b)).max())


def file_size_kib(path) -> float:
    """Return the size of a file in KiB (1024 bytes), rounded to 0.1."""
    if not Path(path).is_file():
        raise ValueError(f"{path}: no such file")
    return round(Path(path).stat().st_size / 1024, 1)


class Latency(NamedTuple):
    """Median and quartiles of the time of a call, and the times of all calls in turn, in ms."""

    median_ms: float
    low_ms: float
    high_ms: float
    samples_ms: list[float]


def latency(
    functions: dict[str, Callable[[], object]], *, rounds: int = 50, warm_up: int = 5
) -> dict[str, Latency]:
    """Time functions that take no argument, by name, on one thread.

    They take turns, A B A B ..., so that a slow moment of the machine hits all of them. PyTorch is
    set to one thread meanwhile; other runtimes have to be when the model is loaded.
    """
    if not functions or rounds < 1:
        raise ValueError("expected at least one function and one round")
    samples = {name: [] for name in functions}
    torch = sys.modules.get("torch")
    threads = torch and torch.get_num_threads()
    try:
        if torch:
            torch.set_num_threads(1)
        for function in [*functions.values()] * warm_up:
            function()
        for name, function in [*functions.items()] * rounds:
            start = time.perf_counter()
            function()
            samples[name].append(1000 * (time.perf_counter() - start))
    finally:
        if torch:
            torch.set_num_threads(threads)
    return {
        name: Latency(*np.percentile(times, [50, 25, 75]).round(4).tolist(), times)
        for name, times in samples.items()
    }


def speedup(baseline: Latency, candidate: Latency) -> float:
    """Return how many times faster `candidate` is: the median ratio of two calls of one round."""
    return round(float(np.median(np.divide(baseline.samples_ms, candidate.samples_ms))), 2)


class Cpu(NamedTuple):
    """A processor: its name, and the instruction sets that decide how fast int8 is."""

    name: str
    isa: tuple[str, ...]


def cpu() -> Cpu:
    """Return the processor of this machine (Linux, macOS, Windows)."""
    host = archspec.cpu.host()
    features = detected_info().features | host.features  # Apple's are known by the model only
    known = ("avx2", "avx512f", *INT8_DOT_PRODUCT)
    name = archspec.cpu.brand_string() or host.name
    return Cpu(name.strip(), tuple(feature for feature in known if feature in features))


def has_int8_dot_product() -> bool:
    """Return whether claims that int8 is faster than float32, which rest on it, may be asserted."""
    return any(feature in INT8_DOT_PRODUCT for feature in cpu().isa)
