"""The code that examples share: data, the running example, its Keras twin, and measuring."""

import hashlib
import shutil
import subprocess
import sys
import time
from collections import Counter

import numpy as np
import pytest
import torch
from scipy import stats
from torch.fx.experimental.optimization import fuse

from handbook import data, measure
from handbook.data import data_file, fashion_mnist
from handbook.measure import (
    Latency,
    accuracy,
    agreement,
    file_size_kib,
    latency,
    lsb_difference,
    paired,
    speedup,
)
from handbook.running_example import RunningExample, load_running_example, predict

FILES = sorted(
    f"{folder.name}/{line.split()[1]}"
    for folder in data.DATA.iterdir()
    for line in (folder / "SHA256SUMS").read_text().splitlines()
)


@pytest.fixture(scope="module")
def torch_logits():
    return predict(load_running_example(), fashion_mnist("test")[0])


# Data


@pytest.mark.parametrize(("split", "count"), [("train", 20_000), ("test", 10_000)])
def test_fashion_mnist(split, count):
    images, labels = fashion_mnist(split)
    pixels, _ = fashion_mnist(split, raw=True)
    assert (images.shape, images.dtype) == ((count, 1, 28, 28), np.float32)
    assert (pixels.shape, pixels.dtype) == ((count, 28, 28), np.uint8)
    assert (labels.shape, labels.dtype) == ((count,), np.int64)
    assert images.flags.c_contiguous
    assert set(labels) == set(range(10))
    # What data.py promises: the pixels are the quantized images, with scale 1 / 90, zero point 73.
    scale = (images.max() - images.min()) / 255
    assert scale == pytest.approx(1 / 90)
    assert -images.min() / scale == pytest.approx(73)
    assert np.array_equal(np.rint(images[:, 0] / scale) + 73, pixels)


def test_the_files_are_those_of_zalando():
    # The MD5 sums that the upstream README publishes; the subset has no published sum.
    published = {
        "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
        "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
    }
    for name, md5 in published.items():
        assert hashlib.md5(data_file(f"fashion_mnist/{name}").read_bytes()).hexdigest() == md5


def test_unknown_split():
    with pytest.raises(ValueError, match="'validation'"):
        fashion_mnist("validation")


@pytest.fixture
def copied_data(tmp_path, monkeypatch):
    shutil.copytree(data.DATA, tmp_path / "data")
    monkeypatch.setattr(data, "DATA", tmp_path / "data")
    return tmp_path / "data"


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_bit_is_caught(copied_data, name):
    file = copied_data / name
    content = bytearray(file.read_bytes())
    expected = hashlib.sha256(content).hexdigest()
    assert data_file(name) == file

    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(SystemExit) as end:
        data_file(name)
    assert end.value.code == (
        f"examples/data/{name}: damaged, SHA-256 is {hashlib.sha256(content).hexdigest()} "
        f"instead of {expected}. Restore it with: git checkout -- examples/data/{name}"
    )


@pytest.mark.parametrize("name", ["t10k-labels-idx1-ubyte.gz", "SHA256SUMS"])
def test_a_missing_file_is_named(copied_data, name):
    (copied_data / "fashion_mnist" / name).unlink()
    with pytest.raises(SystemExit) as end:
        fashion_mnist("test")
    shown = f"examples/data/fashion_mnist/{name}"
    assert end.value.code == f"{shown}: missing. Restore it with: git checkout -- {shown}"


def test_only_listed_files_are_data():
    with pytest.raises(ValueError, match=r"fashion_mnist/README\.md: not listed in the SHA256SUMS"):
        data_file("fashion_mnist/README.md")


def test_every_data_file_is_listed():
    documents = {"README.md", "LICENSE", "NOTICE", "SHA256SUMS"}
    files = {f.relative_to(data.DATA).as_posix() for f in data.DATA.rglob("*") if f.is_file()}
    assert {file for file in files if file.split("/")[-1] not in documents} == set(FILES)


# The running example


def test_the_network_has_what_makes_quantization_hard():
    model = load_running_example()
    assert not model.training
    graph = torch.fx.symbolic_trace(model).graph
    calls = Counter(node.target for node in graph.nodes if node.op == "call_module")
    assert set(calls.values()) == {1}  # no module, so no ReLU, is used twice
    functions = [node.target.__name__ for node in graph.nodes if node.op == "call_function"]
    assert functions == ["add", "cat"]

    convolutions = [m for m in model.modules() if isinstance(m, torch.nn.Conv2d)]
    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    depthwise = [m for m in convolutions if m.groups == m.in_channels == m.out_channels > 1]
    assert (len(convolutions), len(norms), len(depthwise)) == (10, 10, 3)
    assert model.stem.conv.stride == (2, 2)
    assert all(m.bias is None for m in convolutions)
    assert f"{sum(p.numel() for p in model.parameters()):_}".replace("_", " ") in (
        RunningExample.__doc__
    )


def test_the_network_exports_with_any_batch():
    model, images = load_running_example(), torch.randn(3, 1, 28, 28)
    batch = torch.export.Dim("batch")
    exported = torch.export.export(
        model, (torch.randn(2, 1, 28, 28),), dynamic_shapes=({0: batch},)
    )
    torch.testing.assert_close(exported.module()(images), model(images))


def test_depthwise_ranges_are_unequal():
    model = fuse(load_running_example())  # folds BatchNorm
    for name in ("separable1", "separable2", "inverted"):
        weight = model.get_submodule(f"{name}.depthwise.conv").weight
        ranges = weight.detach().abs().amax((1, 2, 3))
        assert ranges.max() > 5 * ranges.min(), name


def test_the_committed_weights_are_those_of_the_training(torch_logits):
    correct = accuracy(torch_logits, fashion_mnist("test")[1])
    assert correct == (90.4, 89.81, 90.96)
    # No image is a near tie, so no other CPU counts otherwise.
    second, first = np.sort(torch_logits, axis=1)[:, -2:].T
    assert (first - second).min() > 1e-3


# The Keras twin


@pytest.mark.parametrize("library", ["keras", "tf_keras"])
def test_keras_gives_the_same_logits(torch_logits, library):
    from handbook.keras_twin import load_keras_twin

    twin = load_keras_twin(pytest.importorskip(library))
    images = fashion_mnist("test")[0].transpose(0, 2, 3, 1)
    logits = twin.predict(images, batch_size=500, verbose=0)
    assert np.abs(logits - torch_logits).max() < 1e-4
    assert agreement(logits, torch_logits) == 100

    # A fault that parity must catch: PyTorch's epsilon, 1e-5, instead of Keras's, 1e-3.
    twin.get_layer("stem.bn").epsilon = 1e-3
    logits = twin(images[:500], training=False)
    assert np.abs(np.asarray(logits) - torch_logits[:500]).max() > 1e-4


def test_importing_the_twin_is_quiet():
    code = "import handbook.keras_twin, tensorflow as tf; print(float(tf.ones(3)[0]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("1.0\n", "")


def test_data_and_measure_need_no_framework():
    code = (
        "import sys, handbook.data, handbook.measure; print({'torch', 'keras'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


# Accuracy and agreement


@pytest.mark.parametrize(
    ("correct", "n", "low", "high"),
    [  # Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I
        (81, 263, 25.53, 36.62),
        (15, 148, 6.24, 16.05),
        (0, 20, 0.00, 16.11),
        (1, 29, 0.61, 17.18),
    ],
)
def test_interval(correct, n, low, high):
    labels = np.zeros(n, np.int64)
    predicted = (np.arange(n) >= correct).astype(np.int64)
    assert accuracy(predicted, labels) == (round(100 * correct / n, 2), low, high)
    assert accuracy(np.eye(2)[predicted], labels) == accuracy(predicted, labels)  # as logits


def test_interval_as_text():
    assert (
        accuracy(torch.eye(2)[[0, 0, 0, 1]], torch.zeros(4, dtype=int)).interval
        == "30.1\N{EN DASH}95.4"
    )


def test_agreement():
    logits = np.array([[0.1, 0.9], [0.8, 0.2], [0.4, 0.6], [0.0, 0.1]])
    assert agreement(logits, logits * 3 - 7) == 100
    assert agreement(logits, logits[:, ::-1]) == 0
    assert agreement(logits, np.array([1, 0, 1, 0])) == 75


@pytest.mark.parametrize(("lost", "gained"), [(158, 94), (23, 30), (40, 10), (7, 7), (0, 0)])
def test_paired(lost, gained):
    labels = np.zeros(1000, int)
    baseline, outputs = np.ones((2, 1000), int)  # all wrong, and then
    baseline[:lost] = outputs[lost : lost + gained] = 0
    baseline[600:], outputs[600:] = 0, 0  # both right
    exact = stats.binomtest(lost, lost + gained).pvalue if lost + gained else 1
    result = paired(outputs, baseline, labels)
    assert (result.lost, result.gained) == (lost, gained)
    assert result.p == pytest.approx(exact, rel=0.05)


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        (np.array([[0.0, 1.0], [np.nan, 0.0]]), "NaN"),
        (np.array([0.0, 1.0]), r"not float64 of shape \(2,\)"),
        (np.array([[True, False]] * 2), "not bool"),
        (np.zeros((2, 3, 4)), r"\(2, 3, 4\)"),
        (np.zeros((0, 10)), r"\(0, 10\)"),
        (np.zeros((3, 10)), "3 and to 2 inputs"),
    ],
)
def test_outputs_that_cannot_be_compared(outputs, message):
    for measured in (accuracy, agreement):
        with pytest.raises(ValueError, match=message):
            measured(outputs, np.array([0, 1]))


# Difference in LSB


def test_lsb_difference_of_integers():
    a = np.array([0, 100, 255], np.uint8)
    assert lsb_difference(a, a) == 0
    assert lsb_difference(a, np.array([255, 100, 255], np.uint8)) == 255  # 1 if it wrapped around
    assert lsb_difference(torch.tensor([-128]).to(torch.int8), np.array([127], np.int8)) == 255


def test_lsb_difference_of_dequantized_floats():
    scale = np.float32(0.0173)
    q = np.arange(-(2**15), 2**15)
    a, b = scale * (q - 5).astype(np.float32), scale * (q - 5 + (q == 7) * 3).astype(np.float32)
    assert lsb_difference(a, b, scale) == 3
    assert lsb_difference(a, a, float(scale)) == 0


@pytest.mark.parametrize(
    ("a", "b", "scale", "message"),
    [
        ([0.1, 0.25], [0.1, 0.2], 0.1, "multiples of scale 0.1"),
        ([0.1, np.nan], [0.1, 0.2], 0.1, "multiples of scale 0.1"),
        ([1, 2], [1, 2], 0.3, "multiples of scale 0.3"),
        ([1, 2], [1], 1, "one shape"),
        ([], [], 1, "one shape"),
    ],
)
def test_lsb_difference_of_something_else(a, b, scale, message):
    with pytest.raises(ValueError, match=message):
        lsb_difference(a, b, scale)


# File size, latency and the CPU


def test_file_size(tmp_path):
    file = tmp_path / "model.bin"
    file.write_bytes(bytes(10_752))
    assert file_size_kib(file) == file_size_kib(str(file)) == 10.5
    for wrong in (tmp_path, tmp_path / "absent"):
        with pytest.raises(ValueError, match="no such file"):
            file_size_kib(wrong)


def test_latency_tells_fast_from_slow():
    times = latency(
        {"slow": lambda: time.sleep(0.1), "fast": lambda: time.sleep(0.002)}, rounds=9, warm_up=1
    )
    slow, fast = times["slow"], times["fast"]
    assert slow.median_ms >= 100
    assert fast.low_ms <= fast.median_ms <= fast.high_ms < slow.low_ms
    assert speedup(slow, fast) > 2
    assert speedup(fast, slow) < 0.5


def test_calls_take_turns_after_a_warm_up():
    calls = []
    times = latency({name: lambda name=name: calls.append(name) for name in "ab"}, rounds=3)
    assert calls == ["a", "b"] * (5 + 3)
    assert [len(taken.samples_ms) for taken in times.values()] == [3, 3]


def test_speedup_is_robust_to_a_slow_moment():
    # The machine becomes ten times slower for the last two of five rounds.
    a, b = (Latency(0, 0, 0, [ms, ms, ms, 10 * ms, 10 * ms]) for ms in (6.0, 2.0))
    assert speedup(a, b) == 3


def test_latency_uses_one_thread_and_restores_the_others():
    before, seen = torch.get_num_threads(), []

    def fails():
        seen.append(torch.get_num_threads())
        raise KeyError

    try:
        torch.set_num_threads(2)
        with pytest.raises(KeyError):
            latency({"fails": fails})
        assert (seen, torch.get_num_threads()) == ([1], 2)
    finally:
        torch.set_num_threads(before)


def test_nothing_to_time():
    for functions, rounds in (({}, 50), ({"a": int}, 0)):
        with pytest.raises(ValueError, match="at least one function and one round"):
            latency(functions, rounds=rounds)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/cpuinfo")
def test_cpu_is_that_of_linux():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        words = file.read().split()
    processor = measure.cpu()
    assert processor.name
    known = ("avx2", "avx512f", *measure.INT8_DOT_PRODUCT)
    assert list(processor.isa) == [flag for flag in known if flag in words]


@pytest.mark.parametrize(
    ("isa", "expected"), [(("avx2", "avx512f"), False), (("avx2", "avx_vnni"), True), ((), False)]
)
def test_int8_dot_product(monkeypatch, isa, expected):
    monkeypatch.setattr(measure, "cpu", lambda: measure.Cpu("a processor", isa))
    assert measure.has_int8_dot_product() is expected


# LiteRT Torch


def test_without_litert_torch_an_example_says_so_in_one_line():
    code = (
        "import sys; sys.modules['litert_torch'] = None; from handbook.litert import litert_torch"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert (
        done.stderr.startswith("This example needs LiteRT Torch") and done.stderr.count("\n") == 1
    )
