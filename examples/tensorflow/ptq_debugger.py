"""QuantizationDebugger: the error of each operator, and operators that are to stay float.

Every quantized operator is compared with its float twin on the same input, for 100 images; then one
kind of operator is kept in float.
Source: tf.lite.experimental.QuantizationDebugger of TensorFlow 2.21.
"""

# %% load
import csv
import io
import warnings

import numpy as np

from handbook.data import fashion_mnist
from handbook.keras_twin import load_keras_twin  # before TensorFlow: it keeps the notices away
from handbook.tflite import quiet
from handbook.tflite_operators import tflite_operators

import tensorflow as tf  # isort: skip

warnings.filterwarnings("ignore", ".*tf.lite.Interpreter is deprecated", module="tensorflow")
model = load_keras_twin()
images = np.ascontiguousarray(fashion_mnist("train")[0][:300].transpose(0, 2, 3, 1))


def converter():
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([image[np.newaxis]] for image in images[:200])
    return converter


def debug_dataset():  # images that calibration has not seen
    return ([image[np.newaxis]] for image in images[200:])


# %% run
with quiet():
    debugger = tf.lite.experimental.QuantizationDebugger(
        converter=converter(), debug_dataset=debug_dataset
    )
    debugger.run()
file = io.StringIO()
debugger.layer_statistics_dump(file)
statistics = list(csv.DictReader(io.StringIO(file.getvalue())))
print(*statistics[0])

# %% results
from handbook.record import table

rows = []
for row in statistics:
    scale = float(row["scale"])
    layer = row["tensor_name"].split(";")[0].split("/", 1)[-1].split("/")[0].removesuffix("_1")
    rms = float(row["mean_squared_error"]) ** 0.5
    layer = "classifier" if layer.startswith("Stateful") else layer
    error = {"RMS error / scale": round(rms / scale, 2)}
    error["largest error / scale"] = round(float(row["max_abs_error"]) / scale, 2)
    rows.append({"operator": row["op_name"], "layer": layer, "scale": round(scale, 4)} | error)
KERNELS = "the debugger's kernels and calibration sum floats in another order"
tolerance = {"scale": 0.01, "RMS error / scale": 0.3, "largest error / scale": 2}
table("statistics", rows, tolerance=tolerance, because=KERNELS)
errors = [row["RMS error / scale"] for row in rows]
assert max(errors) < 0.6  # about the noise of rounding alone, 12 ** -0.5 = 0.29
worst = max(rows, key=lambda row: row["RMS error / scale"])
assert (worst["layer"], worst["operator"]) == ("classifier", "FULLY_CONNECTED")

# %% figure
from handbook.figure import figure, plt

fig, ax = plt.subplots(figsize=(5.4, 4.2))
ax.barh([row["layer"].removesuffix(".relu").removesuffix(".bn") for row in rows], errors)
ax.axvline(12**-0.5, color="C1", linestyle="--")
ax.invert_yaxis()
ax.set(xlabel="RMS error, in steps")
figure("errors", fig)

# %% denylist
options = tf.lite.experimental.QuantizationDebugOptions(denylisted_ops=["FULLY_CONNECTED"])
with quiet():
    debugger = tf.lite.experimental.QuantizationDebugger(
        converter=converter(), debug_dataset=debug_dataset, debug_options=options
    )
    selective = debugger.get_nondebug_quantized_model()
for operator in tflite_operators(selective, conversions=True)[-3:]:
    print(operator.name, operator.input, "->", operator.output)
operators = tflite_operators(selective)
assert [operator.name for operator in operators if not operator.integer] == ["FULLY_CONNECTED"]
