"""The running example in TFLite: static, dynamic and weight-only.

The Keras twin, as dynamic-range file from the converter and as weight-only file from the LiteRT
quantizer, beside the int8 file: accuracy, size, latency, and which weights stay in float.
Source: TensorFlow Lite, post-training quantization; recipes of ai_edge_quantizer.
"""

# %% load
import numpy as np
from ai_edge_litert.interpreter import Interpreter

from handbook.data import fashion_mnist
from handbook.keras_twin import load_keras_twin  # before TensorFlow: it keeps the notices away
from handbook.record import artifact
from handbook.tflite import quiet, read_tflite

import tensorflow as tf  # isort: skip

test_images, labels = fashion_mnist("test")
test_images = np.ascontiguousarray(test_images.transpose(0, 2, 3, 1))
float_path = artifact("affine/sixteen_by_eight/float32.tflite")
dynamic_path = artifact("static_dynamic/differences_tflite/dynamic.tflite")

# %% dynamic
converter = tf.lite.TFLiteConverter.from_keras_model(load_keras_twin())
converter.optimizations = [tf.lite.Optimize.DEFAULT]  # and no representative_dataset
with quiet():  # pages of progress
    dynamic_path.write_bytes(converter.convert())

# %% weight_only
from ai_edge_quantizer import quantizer, recipe

weight_only_path = dynamic_path.with_name("weight_only.tflite")
weight_only = quantizer.Quantizer(str(float_path), recipe.weight_only_wi8_afp32())
with quiet():
    weight_only.quantize().export_model(str(weight_only_path), overwrite=True)


# %% run
class Runner:
    """One image at a time, on one thread."""

    def __init__(self, path):
        with quiet():  # XNNPACK announces itself
            self.interpreter = Interpreter(str(path), num_threads=1)
            self.interpreter.allocate_tensors()
        self.input = self.interpreter.get_input_details()[0]["index"]
        self.output = self.interpreter.get_output_details()[0]["index"]

    def __call__(self, image):
        self.interpreter.set_tensor(self.input, image)
        self.interpreter.invoke()
        return self.interpreter.get_tensor(self.output)


paths = {
    "float32": float_path,
    "static": artifact("affine/sixteen_by_eight/int8.tflite"),  # float in and out, int8 between
    "dynamic": dynamic_path,
    "weight-only": weight_only_path,
}
runners = {name: Runner(path) for name, path in paths.items()}
logits = {
    name: np.concatenate([runner(test_images[i : i + 1]) for i in range(len(test_images))])
    for name, runner in runners.items()
}

# %% results
from functools import partial

from handbook.measure import SCORE_TOLERANCE, file_size_kib, latency, score, speedup
from handbook.record import TIMING, record, table

times = latency({name: partial(runner, test_images[:1]) for name, runner in runners.items()})
rows = []
for name, path in paths.items():
    row = {"model": name} | score(logits[name], labels, logits["float32"])
    row["size KiB"] = file_size_kib(path)
    rows.append(row | {"times as fast, 1 at once": speedup(times["float32"], times[name])})
tolerance = SCORE_TOLERANCE["tolerance"] | {"size KiB": 1, "times as fast, 1 at once": TIMING}
table("results", rows, tolerance=tolerance, because=SCORE_TOLERANCE["because"])
assert all(row["accuracy %"] > rows[0]["accuracy %"] - 1 for row in rows)
assert rows[1]["size KiB"] < rows[0]["size KiB"] / 2
record(dynamic_slower=round(speedup(times["dynamic"], times["float32"]), 1), tolerance=TIMING)
[x] = [op.inputs[0] for op in read_tflite(paths["static"]) if op.name == "FULLY_CONNECTED"]
record(static_scale=round(float(x.scale), 5), tolerance=1e-3, because="ranges of float32 sums")
record(static_zero_point=x.zero_point)

# %% small_weights
elements = {"int8": [], "float32": []}
for t in runners["dynamic"].interpreter.get_tensor_details():
    parts = t["name"].split("/")
    weights = any(part in parts[-1] for part in ("convolution", "MatMul", "mul_1;"))
    if weights:
        elements[t["dtype"].__name__].append(int(np.prod(t["shape"])))
print("elements of the weights in int8:   ", sorted(elements["int8"]))
print("elements of the weights in float32:", sorted(elements["float32"]))
assert max(elements["float32"]) < 1024 <= min(elements["int8"])
