"""The AI Edge Quantizer on a float TFLite file: each of its basic recipes.

It takes the float32 file of ptq.py, without TensorFlow: accuracy on all test images, agreement with
float, size, operators in integers, and latency.
Source: ai_edge_quantizer.quantizer and ai_edge_quantizer.recipe, version 0.10.
"""

# %% load
import numpy as np
from ai_edge_quantizer import quantizer, recipe

from handbook.data import fashion_mnist
from handbook.record import artifact
from handbook.tflite import quiet

float_path = artifact("tensorflow/ptq/float32.tflite")
train_images, test_images = (
    np.ascontiguousarray(fashion_mnist(split)[0].transpose(0, 2, 3, 1))
    for split in ("train", "test")
)
paths = {"float32": float_path}

# %% static
from ai_edge_litert.interpreter import Interpreter

with quiet():
    signatures = Interpreter(str(float_path)).get_signature_list()
print(signatures)  # calibration data go by these names
samples = [{"images": image[np.newaxis]} for image in train_images[:1000]]

static = quantizer.Quantizer(str(float_path), recipe.static_wi8_ai8())
with quiet():  # a progress bar
    calibration = static.calibrate({"serving_default": samples}, num_threads=1)
result = static.quantize(calibration, enable_progress_report=False)
paths["static_wi8_ai8"] = artifact("tensorflow/ptq_quantizer/static_wi8_ai8.tflite")
paths["static_wi8_ai8"].write_bytes(result.quantized_model)

# %% others
for name in (
    "static_wi8_ai16",
    "dynamic_wi8_afp32",
    "weight_only_wi8_afp32",
    "dynamic_wi4_afp32",
    "weight_only_wi4_afp32",
):
    quantizer_ = quantizer.Quantizer(str(float_path), getattr(recipe, name)())
    statistics = calibration if quantizer_.need_calibration else None
    result = quantizer_.quantize(statistics, enable_progress_report=False)
    paths[name] = artifact(f"tensorflow/ptq_quantizer/{name}.tflite")
    paths[name].write_bytes(result.quantized_model)

# %% float16
from ai_edge_quantizer.algorithm_manager import AlgorithmName
from ai_edge_quantizer.qtyping import TFLOperationName

halves = quantizer.Quantizer(str(float_path))  # float16 has no recipe by name
halves.add_weight_only_config(
    ".*", TFLOperationName.ALL_SUPPORTED, 16, algorithm_key=AlgorithmName.FLOAT_CASTING
)
paths["float16 weights"] = artifact("tensorflow/ptq_quantizer/float16.tflite")
result = halves.quantize(enable_progress_report=False)
paths["float16 weights"].write_bytes(result.quantized_model)

# %% results
from functools import partial

from handbook.measure import SCORE_TOLERANCE, file_size_kib, latency, score, speedup
from handbook.record import TIMING, table
from handbook.tflite_operators import Runner, tflite_operators

_, labels = fashion_mnist("test")
runners = {name: Runner(path) for name, path in paths.items()}
logits = {name: runner(test_images) for name, runner in runners.items()}
image = test_images[:1]
times = latency({name: partial(r.raw, r.quantize(image)) for name, r in runners.items()})
rows = []
for name, path in paths.items():
    row = {"recipe": name} | score(logits[name], labels, logits["float32"])
    row["largest error of a logit"] = round(
        float(np.abs(logits[name] - logits["float32"]).max()), 2
    )
    row |= {"input": runners[name].input["dtype"].__name__, "size KiB": file_size_kib(path)}
    row["integer operators"] = sum(operator.integer for operator in tflite_operators(path))
    rows.append(row | {"times as fast": speedup(times["float32"], times[name])})
tolerance = SCORE_TOLERANCE["tolerance"] | {"size KiB": 1, "times as fast": TIMING}
tolerance |= {"largest error of a logit": 1}
table("results", rows, tolerance=tolerance, because=SCORE_TOLERANCE["because"])
score_of = {row["recipe"]: row for row in rows}
assert score_of["static_wi8_ai8"]["integer operators"] == 16
assert all(
    row["accuracy %"] > rows[0]["accuracy %"] - 1 for row in rows if "i4" not in row["recipe"]
)
assert score_of["dynamic_wi4_afp32"]["same answer as float %"] < 98
