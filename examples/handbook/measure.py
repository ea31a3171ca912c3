"""What the examples measure: accuracy, agreement, differences in LSB, file size and latency.

Outputs may be NumPy arrays or CPU tensors of any framework. A wrong argument is a ValueError.
"""

import statistics
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import NamedTuple

import archspec.cpu
import numpy as np
from archspec.cpu.detect import detected_info

# Instructions that decide how fast int8 is, under their names in Linux.
_DOT_PRODUCT = ("avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm")
_ISA = ("avx2", "avx512f", *_DOT_PRODUCT, "sve")


class Accuracy(NamedTuple):
    """Correct predictions and their 95 % interval, in percent, rounded to 0.01."""

    percent: float
    low: float
    high: float

    @property
    def interval(self) -> str:
        return f"{self.low:.1f}–{self.high:.1f}"


def accuracy(outputs, labels) -> Accuracy:
    """Return the accuracy of logits (N, classes), or of predicted classes (N,), and its interval.

    The interval is Wilson's (1927), recommended by Brown, Cai and DasGupta (2001).
    """
    predicted, labels = _classes(outputs), np.asarray(labels)
    if predicted.shape != labels.shape:
        raise ValueError(f"{len(predicted)} outputs, but labels of shape {labels.shape}")
    n = len(labels)
    share = float(np.mean(predicted == labels))
    z = statistics.NormalDist().inv_cdf(0.975)
    center = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * (share * (1 - share) / n + z**2 / (4 * n**2)) ** 0.5
    return Accuracy(*(round(100 * x, 2) for x in (share, center - half, center + half)))


def agreement(a, b) -> float:
    """Return for how many inputs two models predict the same class, in percent, rounded to 0.01.

    Each is logits (N, classes) or classes (N,), right or wrong.
    """
    a, b = _classes(a), _classes(b)
    if a.shape != b.shape:
        raise ValueError(f"{len(a)} outputs against {len(b)}")
    return round(100 * float(np.mean(a == b)), 2)


def _classes(outputs) -> np.ndarray:
    outputs = np.asarray(outputs)
    if outputs.ndim not in (1, 2) or not outputs.size:
        raise ValueError(f"expected logits (N, classes) or classes (N,), not {outputs.shape}")
    if outputs.ndim == 1 and outputs.dtype.kind not in "iu":
        raise ValueError(f"expected integer classes, not {outputs.dtype}")
    if np.isnan(outputs).any():  # argmax would take NaN for the largest logit
        raise ValueError("the logits contain NaN")
    return outputs.argmax(axis=1) if outputs.ndim == 2 else outputs


def lsb_difference(a, b, scale: float = 1) -> int:
    """Return the largest difference between two quantized arrays of the same shape, in LSB.

    An LSB is one integer step. `a` and `b` are integers, or floats dequantized with `scale`; floats
    more than 0.01 steps from a multiple of `scale` are not, and raise ValueError.
    """
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape or not a.size:
        raise ValueError(f"expected two arrays of one shape, not {a.shape} and {b.shape}")
    return int(np.abs(_steps(a, scale) - _steps(b, scale)).max())


def _steps(x: np.ndarray, scale: float) -> np.ndarray:
    if x.dtype.kind in "iu":
        if scale != 1:
            raise ValueError("integers are in LSB already: scale must be 1")
        return x.astype(np.int64)  # a difference of uint8 would wrap around
    steps = x.astype(np.float64) / scale
    if not (np.abs(steps - np.rint(steps)) <= 0.01).all():
        raise ValueError(f"not dequantized with scale {scale}: values lie between its multiples")
    return np.rint(steps)


def file_size_kib(path: str | PathLike) -> float:
    """Return the size of a file in KiB (1024 bytes), rounded to 0.1."""
    if not Path(path).is_file():
        raise ValueError(f"{path}: no such file")
    return round(Path(path).stat().st_size / 1024, 1)


class Latency(NamedTuple):
    """Median and quartiles of the time of one call in ms, and the time of every call."""

    median_ms: float
    low_ms: float
    high_ms: float
    samples_ms: tuple[float, ...]


def latency(
    functions: dict[str, Callable[[], object]], *, rounds: int = 50, warm_up: int = 5
) -> dict[str, Latency]:
    """Time functions without arguments, such as `lambda: model(images)`, and return each's Latency.

    They take turns, A B A B ..., so that a slow moment of the machine hits all; `speedup` compares
    them. PyTorch is set to one thread meanwhile; other runtimes take theirs from their own options.
    """
    if not functions or rounds < 1:
        raise ValueError("nothing to time: expected at least one function and one round")
    samples = {name: [] for name in functions}
    with _one_torch_thread():
        for turn in range(-warm_up, rounds):
            for name, function in functions.items():
                start = time.perf_counter()
                function()
                if turn >= 0:
                    samples[name].append(1000 * (time.perf_counter() - start))
    return {
        name: Latency(*np.percentile(times, [50, 25, 75]).round(4).tolist(), tuple(times))
        for name, times in samples.items()
    }


def speedup(baseline: Latency, candidate: Latency) -> float:
    """Return how many times faster `candidate` is: the median ratio of calls made side by side."""
    pairs = zip(baseline.samples_ms, candidate.samples_ms, strict=True)
    return round(statistics.median(slow / fast for slow, fast in pairs), 2)


@contextmanager
def _one_torch_thread():
    torch = sys.modules.get("torch")
    threads = torch and torch.get_num_threads()
    try:
        if torch:
            torch.set_num_threads(1)
        yield
    finally:
        if torch:
            torch.set_num_threads(threads)


class Cpu(NamedTuple):
    """The processor's name, and those of its instruction sets that decide how fast int8 is."""

    name: str
    isa: tuple[str, ...]


def cpu() -> Cpu:
    """Return this machine's processor (Linux, macOS or Windows, x86-64 or ARM)."""
    host = archspec.cpu.host()
    flags = detected_info().features | host.features  # macOS on ARM reports only the latter
    name = archspec.cpu.brand_string() or host.name
    return Cpu(name.strip(), tuple(flag for flag in _ISA if flag in flags))


def has_int8_dot_product() -> bool:
    """Return whether the CPU multiplies and adds int8 in one instruction.

    A claim that int8 is faster than float32 rests on these: assert it only where this is true.
    """
    return not set(_DOT_PRODUCT).isdisjoint(cpu().isa)
