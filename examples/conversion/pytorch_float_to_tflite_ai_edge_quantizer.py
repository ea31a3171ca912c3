"""PyTorch float to a quantized TFLite file: the AI Edge Quantizer, after the conversion.

The float .tflite file of LiteRT Torch is calibrated twice with the same images: with a
moving average, its default, and with the smallest and largest values; ranges, accuracy, latency.
Source: quantizer.py, calibrator.py and utils/qsv_utils.py of ai-edge-quantizer 0.10.
"""

# %% load
import logging

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from handbook.data import fashion_mnist
from handbook.record import artifact, record, table
from handbook.tflite import quiet

logging.disable(logging.WARNING)  # torchao mentions the GPU kernels that it does not find
from handbook import to_tflite

with quiet():
    from ai_edge_quantizer import calibrator, quantizer, recipe, recipe_manager
    from ai_edge_quantizer.utils import qsv_utils

calibration_images = fashion_mnist("train")[0][:500].transpose(0, 2, 3, 1)
test_images, labels = fashion_mnist("test")
float_path = artifact("conversion/pytorch_float_to_tflite_quantized/float32.tflite")
folder = artifact("conversion/pytorch_float_to_tflite_ai_edge_quantizer/int8.tflite").parent

# %% quantize
with quiet():  # XNNPACK and a progress bar
    [(signature, names)] = Interpreter(str(float_path)).get_signature_list().items()
    [name] = names["inputs"]
    calibration_data = {signature: [{name: image[np.newaxis]} for image in calibration_images]}
    litert_quantizer = quantizer.Quantizer(str(float_path), recipe.static_wi8_ai8())
    averages = litert_quantizer.calibrate(calibration_data, num_threads=1)
    quantized = litert_quantizer.quantize(averages)
    quantized.export_model(str(folder / "average.tflite"), overwrite=True)

# %% min_max
with quiet():
    manager = recipe_manager.RecipeManager()
    manager.load_quantization_recipe(recipe.static_wi8_ai8())
    update = {"qsv_update_func": qsv_utils.min_max_update}
    widest = calibrator.Calibrator(str(float_path), num_threads=1, **update)
    widest.calibrate(calibration_data, manager)
    quantized = litert_quantizer.quantize(widest.get_model_qsvs())
    quantized.export_model(str(folder / "min_max.tflite"), overwrite=True)

# %% ranges
from handbook.tflite import read_tflite

OUTPUTS = ("CONV_2D", "DEPTHWISE_CONV_2D", "ADD", "FULLY_CONNECTED")
files = [read_tflite(folder / f"{name}.tflite") for name in ("average", "min_max")]
pairs = [pair for pair in zip(*files, strict=True) if pair[0].name in OUTPUTS]
rows = []
for average, full in pairs:
    row = {"operator": average.name, "range, moving average": round(255 * average.output.scale, 2)}
    row["range, min/max"] = round(255 * full.output.scale, 2)
    rows.append(row | {"share %": round(100 * average.output.scale / full.output.scale)})
wide = {"range, moving average": 0.2, "range, min/max": 0.2, "share %": 3}
table("ranges", rows, tolerance=wide, because="float32 kernels sum in another order")
shares = [row["share %"] for row in rows]
record(narrowest=min(shares), tolerance=3, because="float32 kernels sum in another order")
assert max(shares) <= 100 and min(shares) < 90

# %% picture
from handbook.figure import figure, plt

fig, ax = plt.subplots(figsize=(5.4, 3.8))
places = range(len(rows), 0, -1)
ax.barh(places, [row["range, min/max"] for row in rows], color="C7", label="min/max")
averages = [row["range, moving average"] for row in rows]
ax.barh(places, averages, height=0.45, color="C0", label="moving average")
ax.set_yticks(places, [row["operator"].lower() for row in rows])
ax.set_xlabel("range of the output")
fig.legend(loc="outside upper center", ncols=2)
figure("ranges", fig)

# %% results
from handbook.conversions import conversions, parity
from handbook.measure import latency, paired, speedup

paths = {"float": float_path, "average": folder / "average.tflite"}
paths |= {"min/max": folder / "min_max.tflite"}
logits = {name: to_tflite.run(path, test_images) for name, path in paths.items()}
calls = {name: to_tflite.call(path, test_images[:1]) for name, path in paths.items()}
times = latency(calls, rounds=300)
rows = {}
for name in ("average", "min/max"):
    row = parity(logits[name], logits["float"], labels) | to_tflite.columns(paths[name])
    row["speedup"] = speedup(times["float"], times[name])
    rows["TFLite, float", "TFLite, int8", f"AI Edge Quantizer, {name}"] = row
conversions(rows, because="kernels of another CPU sum and round in another order")
lost, gained, p = paired(logits["average"], logits["min/max"], labels)
record(lost=lost, gained=gained, p=p, tolerance=60, because="kernels of another CPU round apart")
average, full = rows.values()
assert full["largest difference"] < average["largest difference"]
assert min(full["same answer %"], average["same answer %"]) > 98.5
assert full["float operators"] == average["float operators"] == 0
