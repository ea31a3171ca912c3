"""Static int8 without data, and with two layers in float.

The running example in ONNX Runtime: calibrated with images, with noise, and with one scale for each
layer, which needs a cure: accuracy, size, latency.
Source: quantize_static of onnxruntime.quantization.
"""

# %% load
import numpy as np
import onnx
from onnxruntime import quantization

from handbook.data import fashion_mnist
from handbook.record import artifact

prepared = artifact("affine/quantized_models/prepared.onnx")  # float, normalization folded
train_images = fashion_mnist("train")[0][:500]
low, high = train_images.min(), train_images.max()
noise = np.random.default_rng(0).uniform(low, high, train_images.shape).astype(np.float32)


# %% quantize
class Reader(quantization.CalibrationDataReader):
    def __init__(self, images):
        self.batches = iter(np.split(images, 5))

    def get_next(self):
        batch = next(self.batches, None)
        return None if batch is None else {"images": batch}


def quantize(name, images, per_channel=True, nodes_in_float=()):
    path = artifact(f"static_dynamic/choosing_convolutions/{name}.onnx")
    quantization.quantize_static(
        prepared,
        path,
        Reader(images),
        per_channel=per_channel,
        nodes_to_exclude=list(nodes_in_float),
        activation_type=quantization.QuantType.QUInt8,
        weight_type=quantization.QuantType.QInt8,
    )
    return path


# %% worst
worst = {"separable1.depthwise.conv.weight", "inverted.depthwise.conv.weight"}
nodes = onnx.load(prepared).graph.node
two = [node.name for node in nodes if worst & set(node.input)]  # what choosing_cures.py finds
assert len(two) == 2

# %% results
from functools import partial

import onnxruntime

from handbook.measure import SCORE_TOLERANCE, file_size_kib, latency, score, speedup
from handbook.record import TIMING, table

paths = {
    "float32": prepared,
    "static, per channel": quantize("channel", train_images),
    "static, calibrated with noise": quantize("noise", noise),
    "static, per tensor": quantize("tensor", train_images, per_channel=False),
    "the same, two layers in float": quantize("two", train_images, False, two),
}
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
exact = onnxruntime.SessionOptions()
exact.add_session_config_entry("session.x64quantprecision", "1")  # no saturation without VNNI
test_images, labels = fashion_mnist("test")
feed, image = {"images": test_images}, {"images": test_images[:1]}
# Or ONNX Runtime quantizes the layers in float as it loads the file, with one scale each.
off = {"disabled_optimizers": ["WeightBiasQuantization"]}


def load(path, options):
    return onnxruntime.InferenceSession(path, options, **off)


logits = {name: load(path, exact).run(None, feed)[0] for name, path in paths.items()}
sessions = {name: load(path, options) for name, path in paths.items()}
times = latency({name: partial(s.run, None, image) for name, s in sessions.items()})
rows = []
for name, path in paths.items():
    row = {"model": name} | score(logits[name], labels, logits["float32"])
    row |= {"size KiB": file_size_kib(path)}
    rows.append(row | {"times as fast": speedup(times["float32"], times[name])})
tolerance = {column: 3 for column in SCORE_TOLERANCE["tolerance"]}
tolerance |= {"size KiB": 1, "times as fast": TIMING}
table("results", rows, tolerance=tolerance, because=SCORE_TOLERANCE["because"])
_, channel, of_noise, tensor, but_two = (row["accuracy %"] for row in rows)
assert channel > rows[0]["accuracy %"] - 1 and of_noise > channel - 4
assert tensor + 10 < but_two and but_two > channel - 1  # the cure
