"""TFLite's four files, run: accuracy, size, and what 16x8 costs on a CPU.

All test images in LiteRT; then the time of one image, with XNNPACK and without.
Source: ai_edge_litert.interpreter; timed with handbook.measure.latency.
"""

# %% load
import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from handbook.data import fashion_mnist
from handbook.record import artifact
from handbook.tflite import quiet

images, labels = fashion_mnist("test")
images = np.ascontiguousarray(images.transpose(0, 2, 3, 1))
paths = {
    name: artifact(f"affine/sixteen_by_eight/{name}.tflite")
    for name in ("float32", "float16", "int8", "16x8")
}


# %% run
class Runner:
    """One image at a time, on one thread."""

    def __init__(self, name, resolver=OpResolverType.AUTO):
        options = {"num_threads": 1, "experimental_op_resolver_type": resolver}
        with quiet():  # XNNPACK announces itself
            self.interpreter = Interpreter(str(paths[name]), **options)
            self.interpreter.allocate_tensors()
        self.input = self.interpreter.get_input_details()[0]["index"]
        self.output = self.interpreter.get_output_details()[0]["index"]

    def __call__(self, image):
        self.interpreter.set_tensor(self.input, image)
        self.interpreter.invoke()
        return self.interpreter.get_tensor(self.output)


runners = {name: Runner(name) for name in paths}
logits = {
    name: np.concatenate([runner(images[i : i + 1]) for i in range(len(images))])
    for name, runner in runners.items()
}

# %% results
from functools import partial

from handbook.measure import SCORE_TOLERANCE, file_size_kib, latency, score, speedup
from handbook.record import TIMING, record, table

times = latency({name: partial(runner, images[:1]) for name, runner in runners.items()})
rows = []
for name in paths:
    row = {"TFLite file": name} | score(logits[name], labels, logits["float32"])
    row["size KiB"] = file_size_kib(paths[name])
    rows.append(row | {"latency, float32 = 1": round(speedup(times[name], times["float32"]), 1)})
tolerance = SCORE_TOLERANCE["tolerance"] | {"size KiB": 1, "latency, float32 = 1": TIMING}
table("results", rows, tolerance=tolerance, because=SCORE_TOLERANCE["because"])
int8, int16x8 = rows[2], rows[3]
assert int16x8["same answer as float %"] >= int8["same answer as float %"]
# On any CPU: 16x8 has no other kernel than the reference loop, float32 has XNNPACK.
assert int16x8["latency, float32 = 1"] > 2
record(slower=round(speedup(times["16x8"], times["float32"])), tolerance=TIMING)

# %% delegate
rows = []
for name, runner in runners.items():
    operators = [node["op_name"] for node in runner.interpreter._get_ops_details()]
    rows.append({"TFLite file": name, "handed to XNNPACK": "DELEGATE" in operators})
    assert name != "float16" or "DEQUANTIZE" in operators  # of weights, to compute in float32
table("delegate", rows)
assert [row["handed to XNNPACK"] for row in rows] == [True, True, True, False]

# %% without
plain = {
    name: Runner(name, OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES)
    for name in ("float32", "int8", "16x8")
}
times = latency({name: partial(runner, images[:1]) for name, runner in plain.items()})
slower = speedup(times["16x8"], times["int8"])
record(slower_than_plain_int8=round(slower), tolerance=TIMING)
