"""The running example through onnx2keras: right, and lost as soon as it is saved.

Its layers, what happens when the .keras file is loaded, and parity on all 10 000 test images.
Source: onnx2keras 0.0.25, as installed.
"""

# %% load
import logging

import numpy as np
import onnx

from handbook.keras_twin import keras  # before TensorFlow: it keeps the notices away
from handbook.record import artifact, expected
from handbook.tflite import quiet

with quiet():
    import onnx2keras

logging.basicConfig(handlers=[logging.NullHandler()])  # before onnx2keras sets it up for all

# %% running_example
from collections import Counter

from handbook.conversions import conversions, parity
from handbook.data import fashion_mnist

onnx_model = onnx.load(artifact("conversion/pytorch_float_to_onnx_float/running_example.onnx"))
with quiet():
    model = onnx2keras.onnx_to_keras(
        onnx_model, ["images"], change_ordering=True, name_policy="renumerate"
    )
kinds = Counter(type(layer).__name__ for layer in model.layers)
print(dict(kinds))
assert kinds["Lambda"] == 1

# %% reload
keras_path = artifact("conversion/onnx_to_keras_reload/running_example.keras")
model.save(keras_path)
with expected(TypeError, "Could not locate function 'target_layer'"):
    keras.models.load_model(keras_path)

# %% edge
import onnxruntime

test_images, labels = fashion_mnist("test")
(onnx_logits,) = onnxruntime.InferenceSession(onnx_model.SerializeToString()).run(
    None, {"images": test_images}
)
nhwc_images = np.ascontiguousarray(np.moveaxis(test_images, 1, 3))
logits = model.predict(nhwc_images, batch_size=500, verbose=0)
edge = parity(logits, onnx_logits, labels)
assert edge["same answer %"] == 100
conversions(
    {("ONNX, float", "Keras, float", "onnx2keras"): edge},
    because="float32 sums in another order on another CPU",
)
