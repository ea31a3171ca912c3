"""Fashion-MNIST, and the hash check of every file in examples/data."""

import gzip
import hashlib
from pathlib import Path

import numpy as np

DATA = Path(__file__).parents[1] / "data"

# The training pixels have mean 72.9 and standard deviation 90.0. Rounded, the normalization
# (pixel - 73) / 90 is itself a dequantization, with scale 1 / 90 and zero point 73: an observer
# that sees the range of the images finds the pixels again, and the input quantizes without loss.
MEAN, STD = np.float32(73), np.float32(90)

_SPLITS = {"train": "fashion_mnist/train-20000", "test": "fashion_mnist/t10k"}


def fashion_mnist(split: str, *, raw: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Return the images and labels of "train" (20 000, in random order) or "test" (10 000).

    Images are normalized float32 of shape (N, 1, 28, 28), ready for the network, or with `raw` the
    uint8 pixels, (N, 28, 28). Labels are int64, 0 to 9. A slice of the training images serves as
    calibration set. Source: Xiao et al., arXiv:1708.07747.
    """
    if split not in _SPLITS:
        raise ValueError(f'split must be "train" or "test", not {split!r}')
    # An IDX file is a big-endian header, of 16 bytes for images and 8 for labels, then the bytes.
    images = gzip.decompress(data_file(f"{_SPLITS[split]}-images-idx3-ubyte.gz").read_bytes())
    labels = gzip.decompress(data_file(f"{_SPLITS[split]}-labels-idx1-ubyte.gz").read_bytes())
    images = np.frombuffer(images, np.uint8, offset=16).reshape(-1, 28, 28)
    labels = np.frombuffer(labels, np.uint8, offset=8).astype(np.int64)
    return images if raw else ((images - MEAN) / STD)[:, np.newaxis], labels


def data_file(name: str) -> Path:
    """Return the path of a file in examples/data, such as "running_example/weights.npz".

    Its SHA-256 is the one in the SHA256SUMS of its folder. A missing or damaged file ends the
    program with the command that restores it; a file that is not listed there is a ValueError.
    """
    path = DATA / name
    sums = path.with_name("SHA256SUMS")
    if not sums.is_file():
        raise _unusable(sums, "missing")
    expected = {file: digest for digest, file in map(str.split, sums.read_text().splitlines())}
    if path.name not in expected:
        raise ValueError(f"examples/data/{name}: not listed in the SHA256SUMS of its folder")
    if not path.is_file():
        raise _unusable(path, "missing")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != expected[path.name]:
        raise _unusable(path, f"damaged, SHA-256 is {digest} instead of {expected[path.name]}")
    return path


def _unusable(path: Path, problem: str) -> SystemExit:
    shown = f"examples/data/{path.relative_to(DATA).as_posix()}"
    return SystemExit(f"{shown}: {problem}. Restore it with: git checkout -- {shown}")
