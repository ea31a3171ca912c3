"""The AI Edge Quantizer: float input and output, and errors.

The static recipe makes input and output int8; two lines keep them float. Then what goes wrong when
calibration is forgotten, misnamed, or fed by a generator.
Source: ai_edge_quantizer.quantizer, version 0.10.
"""

# %% load
import numpy as np
from ai_edge_quantizer import quantizer, recipe
from ai_edge_quantizer.algorithm_manager import AlgorithmName
from ai_edge_quantizer.qtyping import TFLOperationName

from handbook.data import fashion_mnist
from handbook.record import artifact, expected
from handbook.tflite import quiet
from handbook.tflite_operators import tflite_operators

float_path = str(artifact("tensorflow/ptq/float32.tflite"))
images = np.ascontiguousarray(fashion_mnist("train")[0][:20].transpose(0, 2, 3, 1))
samples = [{"images": image[np.newaxis]} for image in images]

# %% float_io
static = quantizer.Quantizer(float_path, recipe.static_wi8_ai8())
for operator in (TFLOperationName.INPUT, TFLOperationName.OUTPUT):
    static.update_quantization_recipe(".*", operator, algorithm_key=AlgorithmName.NO_QUANTIZE)
with quiet():
    calibration = static.calibrate({"serving_default": samples})
result = static.quantize(calibration, enable_progress_report=False)
operators = tflite_operators(bytes(result.quantized_model), conversions=True)
print(operators[0].name, operators[0].input, "->", operators[0].output)
print(operators[-1].name, operators[-1].input, "->", operators[-1].output)
assert (operators[0].input, operators[-1].output) == ("float32", "float32")

# %% not_calibrated
static = quantizer.Quantizer(float_path, recipe.static_wi8_ai8())
with expected(RuntimeError, "Model quantization statistics values (QSVs) are required"):
    static.quantize(enable_progress_report=False)

# %% generator
generator = ({"images": image[np.newaxis]} for image in images)  # can be read once
with quiet():
    calibration = static.calibrate({"serving_default": generator})
print("tensors with a range:", len(calibration))
with expected(RuntimeError, "can be obtained by running calibration"):
    static.quantize(calibration, enable_progress_report=False)

# %% wrong_input_name
with expected(KeyError, "images"), quiet():
    static.calibrate({"serving_default": [{"x": images[:1]}]})

# %% wrong_signature
with expected(ValueError, "Invalid signature_key provided"), quiet():
    static.calibrate({"serve": samples})
