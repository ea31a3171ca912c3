"""Keras float to quantized TFLite, from a Keras model that came from ONNX.

The converter and the AI Edge Quantizer make int8 files from the same images; both are compared with
float, and with each other: parameters, weights, and all outputs for the 10 000 test images.
Source: tf.lite.TFLiteConverter (TensorFlow 2.21); ai_edge_quantizer 0.10.
"""

# %% load
import numpy as np

from handbook.data import fashion_mnist
from handbook.keras_twin import keras  # before TensorFlow: it keeps the notices away
from handbook.record import artifact, record, table
from handbook.tflite import quiet, read_tflite

import tensorflow as tf  # isort: skip

path = artifact("conversion/onnx_float_to_keras_float/running_example.keras")
model = keras.models.load_model(path)  # made by onnx_float_to_keras_float.py
folder = artifact("conversion/keras_float_to_tflite_quantized/float32.tflite").parent
images, (test_images, labels) = fashion_mnist("train")[0][:1000], fashion_mnist("test")
# The ONNX model had NCHW, the Keras model has NHWC.
images, test_images = (np.ascontiguousarray(x.transpose(0, 2, 3, 1)) for x in (images, test_images))

# %% float
with quiet():  # a page of progress
    content = tf.lite.TFLiteConverter.from_keras_model(model).convert()
(folder / "float32.tflite").write_bytes(content)

# %% converter
converter = tf.lite.TFLiteConverter.from_keras_model(model)
converter.optimizations = [tf.lite.Optimize.DEFAULT]
converter.representative_dataset = lambda: ([image[np.newaxis]] for image in images)
converter.inference_input_type = converter.inference_output_type = tf.int8
with quiet():
    (folder / "converter.tflite").write_bytes(converter.convert())

# %% quantizer
from ai_edge_quantizer import quantizer, recipe
from ai_edge_quantizer.calibrator import CalibrationInterpreter, CalibrationMode
from ai_edge_quantizer.utils.qsv_utils import min_max_update

float_path = str(folder / "float32.tflite")
with quiet():
    calibration = CalibrationInterpreter(float_path, CalibrationMode.CALIBRATION, min_max_update)
    run = calibration.get_signature_runner("serving_default")
    (name,) = run.get_input_details()
    for batch in np.split(images, 10):
        run(**{name: batch})
ranges = calibration.get_calibration_results()
static = quantizer.Quantizer(float_path, recipe.static_wi8_ai8())
result = static.quantize(ranges, enable_progress_report=False)
(folder / "quantizer.tflite").write_bytes(result.quantized_model)

# %% same_parameters
files = [read_tflite(folder / f"{tool}.tflite") for tool in ("converter", "quantizer")]
equal, rows, weights = 0, [], []
for a, b in zip(*files, strict=True):  # the operators are the same, in the same order
    same = np.isclose(a.output.scale, b.output.scale, rtol=1e-6, atol=0)
    same = bool(same and a.output.zero_point == b.output.zero_point)
    equal += same
    pairs = zip(a.inputs, b.inputs, strict=True)
    weights += [np.array_equal(x.data, y.data) for x, y in pairs if x.data is not None]
    for tool, y in () if same else (("converter", a.output), ("quantizer", b.output)):
        row = {"file": tool, "output of": a.name, "scale": float(y.scale)}
        rows.append(row | {"zero point": y.zero_point})
print(f"{equal} of {len(files[0])} outputs have the same scale and zero point")
print("weights, biases and other constants equal:", sum(weights), "of", len(weights))
SUMS = "float32 kernels sum in another order"
table("differing", rows, tolerance={"scale": 0.01, "zero point": 5}, because=SUMS)
record(equal=equal, outputs=len(files[0]), constants=len(weights))
assert equal == len(files[0]) - 1 and all(weights)

# %% conversions
from functools import partial

from handbook.conversions import conversions, parity
from handbook.measure import file_size_kib, latency, speedup
from handbook.tflite_operators import Runner, tflite_operators

runners = {
    tool: Runner(folder / f"{tool}.tflite") for tool in ("float32", "converter", "quantizer")
}
logits = {tool: runner(test_images) for tool, runner in runners.items()}
image = test_images[:1]
times = latency({tool: partial(r.raw, r.quantize(image)) for tool, r in runners.items()})
keras_logits = model.predict(test_images, batch_size=500, verbose=0)
rows = {}
for want, tool, way in (
    ("float", "float32", "TFLiteConverter"),
    ("int8", "converter", "TFLiteConverter"),
    ("int8", "quantizer", "TFLiteConverter, AI Edge Quantizer"),
):
    integer = [operator.integer for operator in tflite_operators(folder / f"{tool}.tflite")]
    row = parity(logits[tool], keras_logits, labels)
    row |= {"integer operators": sum(integer), "float operators": len(integer) - sum(integer)}
    row |= {"size KiB": file_size_kib(folder / f"{tool}.tflite")}
    row |= {"speedup": speedup(times["float32"], times[tool])}
    rows["Keras, float", f"TFLite, {want}", way] = row
conversions(rows, because="kernels of another CPU sum and round in another order")
