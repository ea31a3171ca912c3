"""TFLite's 16x8 mode: int16 activations, int8 weights, int64 biases.

The Keras twin becomes four TFLite files: float32, float16 weights, int8, and 16x8; and what the
16x8 file holds, tensor by tensor.
Source: TensorFlow Lite, post-training integer quantization with int16 activations.
"""

# %% load
from handbook.data import fashion_mnist
from handbook.keras_twin import load_keras_twin  # before TensorFlow: it keeps the notices away
from handbook.record import artifact, table
from handbook.tflite import quiet

import tensorflow as tf  # isort: skip

model = load_keras_twin()
calibration_images = fashion_mnist("train")[0][:500].transpose(0, 2, 3, 1)


# %% convert
def representative_dataset():
    for image in calibration_images:
        yield [image[tf.newaxis]]


def converter():
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    return converter


float32 = tf.lite.TFLiteConverter.from_keras_model(model)

float16 = converter()
float16.target_spec.supported_types = [tf.float16]

int8 = converter()
int8.representative_dataset = representative_dataset
int8.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]

int16x8 = converter()
int16x8.representative_dataset = representative_dataset
int16x8.target_spec.supported_ops = [
    tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
]

# %% write
converters = {"float32": float32, "float16": float16, "int8": int8, "16x8": int16x8}
for name, tflite_converter in converters.items():
    with quiet():  # pages of progress
        content = tflite_converter.convert()
    artifact(f"affine/sixteen_by_eight/{name}.tflite").write_bytes(content)

# %% inspect
from ai_edge_litert.interpreter import Interpreter

with quiet():
    interpreter = Interpreter(str(artifact("affine/sixteen_by_eight/16x8.tflite")))
kinds = {}
for tensor in interpreter.get_tensor_details():
    parameters, kind = tensor["quantization_parameters"], tensor["dtype"].__name__
    if len(parameters["scales"]):  # a quantized one
        bias = kind == "int64"
        weight = kind == "int8"
        role = "biases" if bias else "weights" if weight else "activations"
        kinds.setdefault((role, kind), []).append(parameters)
rows = []
for (role, kind), parameters in sorted(kinds.items()):
    row = {"tensors": role, "type": kind, "how many": len(parameters)}
    scales = {len(p["scales"]) for p in parameters}
    row["scales of each"] = "1" if scales == {1} else "one for each channel"
    row["zero points"] = " ".join(
        sorted({str(int(z)) for p in parameters for z in p["zero_points"]})
    )
    rows.append(row)
table("tensors", rows)
assert {row["type"] for row in rows} == {"int16", "int8", "int64"}
assert all(row["zero points"] == "0" for row in rows)  # symmetric, all of them
