"""The AI Edge Quantizer calibrates with a moving average: compared with minimum and maximum.

The range of one tensor as the images go by, the files that both ways give, and what the order and
the batch of the images change.
Source: ai_edge_quantizer.calibrator and ai_edge_quantizer.utils.qsv_utils, version 0.10.
"""

# %% load
import numpy as np
from ai_edge_quantizer import quantizer, recipe
from ai_edge_quantizer.calibrator import CalibrationInterpreter, CalibrationMode
from ai_edge_quantizer.utils import qsv_utils

from handbook.data import fashion_mnist
from handbook.record import artifact
from handbook.tflite import quiet

float_path = str(artifact("tensorflow/ptq/float32.tflite"))
images, labels = fashion_mnist("train")
images = np.ascontiguousarray(images[:500].transpose(0, 2, 3, 1))
test_images, test_labels = fashion_mnist("test")
test_images = np.ascontiguousarray(test_images.transpose(0, 2, 3, 1))


# %% calibrate
def calibrate(batches, **update):
    with quiet():
        interpreter = CalibrationInterpreter(float_path, CalibrationMode.CALIBRATION, **update)
        run = interpreter.get_signature_runner("serving_default")
        for batch in batches:
            run(images=batch)
            limits.append(interpreter.get_calibration_results()[LOGITS]["max"].item())
    return interpreter.get_calibration_results()


MIN_MAX = {"qsv_update_func": qsv_utils.min_max_update}
LOGITS = "StatefulPartitionedCall_1:0"
singles = np.split(images, len(images))
by_class = [singles[i] for i in np.argsort(labels[:500], kind="stable")]
runs, tracks = {}, {}
for name, batches, update in (
    ("moving average, one image at a time", singles, {}),
    ("moving average, sorted by class", by_class, {}),
    ("moving average, 50 images at a time", np.split(images, 10), {}),
    ("minimum and maximum", singles, MIN_MAX),
):
    limits = []
    runs[name], tracks[name] = calibrate(batches, **update), limits

# %% by_hand
from handbook.tflite_operators import Runner

float_runner = Runner(float_path)
average, *others = maxima = float_runner(images).max(axis=1)
for maximum in others:
    average = 0.95 * average + 0.05 * maximum
default = quantizer.Quantizer(float_path, recipe.static_wi8_ai8())
with quiet():
    ranges = default.calibrate({"serving_default": [{"images": x} for x in singles]})
assert np.isclose(average, ranges[LOGITS]["max"], atol=1e-3)  # so this is the default

# %% results
from handbook.measure import SCORE_TOLERANCE, score
from handbook.record import table

float_logits = float_runner(test_images)
rows = []
for name, ranges in runs.items():
    static = quantizer.Quantizer(float_path, recipe.static_wi8_ai8())
    result = static.quantize(ranges, enable_progress_report=False)
    path = artifact(f"tensorflow/ptq_calibration/{len(rows)}.tflite")
    path.write_bytes(result.quantized_model)
    logits = Runner(path)(test_images)
    error = logits - float_logits
    row = {"calibration": name} | score(logits, test_labels, float_logits)
    row["images clipped %"] = round(100 * float((maxima > tracks[name][-1] + 1e-4).mean()), 1)
    row["largest error"] = round(float(np.abs(error).max()), 2)
    rows.append(row | {"RMS error": round(float(np.sqrt((error**2).mean())), 3)})
wide = {"images clipped %": 5, "largest error": 1, "RMS error": 0.1}
tolerance = SCORE_TOLERANCE["tolerance"] | wide
table("results", rows, tolerance=tolerance, because=SCORE_TOLERANCE["because"])
single, _, _, min_max = rows
assert single["RMS error"] > 2 * min_max["RMS error"]
assert abs(single["accuracy %"] - min_max["accuracy %"]) < 0.5  # clipped, and still the largest
assert min_max["images clipped %"] == 0 and single["images clipped %"] > 20

# %% track
from handbook.figure import figure, plt

fig, ax = plt.subplots(figsize=(5.4, 3.8))
ax.plot(maxima, ".", color="#808080", markersize=3, label="each image")
for name, style in (
    ("minimum and maximum", "C0"),
    ("moving average, one image at a time", "C1"),
    ("moving average, sorted by class", "C3"),
):
    ax.plot(tracks[name], color=style, label=name)
ax.set(xlabel="image", ylabel="largest logit", ylim=(0, None))
fig.legend(loc="outside lower center", fontsize=9)
figure("track", fig)
