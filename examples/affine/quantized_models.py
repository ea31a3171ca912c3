"""The running example as int8, from two converters and the same images.

TensorFlow Lite's converter quantizes the Keras twin, ONNX Runtime's the exported PyTorch model.
Both calibrate on the same 1000 training images. Other scripts of this chapter open the two files.
Source: tf.lite.TFLiteConverter; onnxruntime.quantization.quantize_static.
"""

# %% load
import numpy as np

from handbook.data import MEAN, STD, fashion_mnist
from handbook.keras_twin import load_keras_twin
from handbook.record import artifact
from handbook.running_example import load_running_example, predict
from handbook.tflite import quiet, run_tflite

calibration_images = fashion_mnist("train")[0][:1000]
test_images, labels = fashion_mnist("test")

# %% tflite
import tensorflow as tf

tflite_path = artifact("affine/quantized_models/int8.tflite")
converter = tf.lite.TFLiteConverter.from_keras_model(load_keras_twin())
converter.optimizations = [tf.lite.Optimize.DEFAULT]
converter.representative_dataset = lambda: (
    [image[np.newaxis]] for image in calibration_images.transpose(0, 2, 3, 1)
)
converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
converter.inference_input_type = converter.inference_output_type = tf.int8
with quiet():  # pages of progress
    tflite_path.write_bytes(converter.convert())

# %% onnx
from onnxruntime import quantization
from onnxruntime.quantization.shape_inference import quant_pre_process


class Reader(quantization.CalibrationDataReader):
    batches = iter(np.split(calibration_images, 10))

    def get_next(self):
        batch = next(self.batches, None)
        return None if batch is None else {"images": batch}


onnx_path = artifact("affine/quantized_models/int8.onnx")
prepared_path = onnx_path.with_name("prepared.onnx")
float_path = artifact("conversion/pytorch_float_to_onnx_float/running_example.onnx")
quant_pre_process(float_path, prepared_path)
quantization.quantize_static(
    prepared_path,
    onnx_path,
    Reader(),
    quant_format=quantization.QuantFormat.QDQ,
    per_channel=True,
    activation_type=quantization.QuantType.QUInt8,
    weight_type=quantization.QuantType.QInt8,
    calibrate_method=quantization.CalibrationMethod.MinMax,
)

# %% run
import onnxruntime

# The converter found scale 1/90 and zero point 73 - 128: the pixels again, less 128.
pixels = np.rint(test_images * STD + MEAN)
tflite_logits = run_tflite(tflite_path, (pixels - 128).astype(np.int8).transpose(0, 2, 3, 1))


def run_onnx(**config):
    options = onnxruntime.SessionOptions()
    for key, value in config.items():
        options.add_session_config_entry(f"session.{key}", value)
    session = onnxruntime.InferenceSession(onnx_path, options)
    return session.run(None, {"images": test_images})[0]


onnx_logits = run_onnx()  # on x86 without VNNI, sums of two products saturate at 16 bits
onnx_logits_precise = run_onnx(x64quantprecision="1")  # uint8 weights, kernels without that

# %% results
from handbook.measure import SCORE_TOLERANCE, score
from handbook.record import table

float_logits = predict(load_running_example(), test_images)
runs = {
    "float32": float_logits,
    "int8, TFLite": tflite_logits.astype(np.int32),  # their order gives the class
    "int8, ONNX Runtime, x64quantprecision": onnx_logits_precise,
    "int8, ONNX Runtime, default": onnx_logits,
}
rows = [{"model": run} | score(logits, labels, float_logits) for run, logits in runs.items()]
table("results", rows[:3], **SCORE_TOLERANCE)
assert all(row["accuracy %"] > rows[0]["accuracy %"] - 1 for row in rows[:3])

# %% saturation
wide = dict.fromkeys(SCORE_TOLERANCE["tolerance"], 5)
table("saturation", rows[2:], tolerance=wide, because="a CPU with VNNI does not saturate")
