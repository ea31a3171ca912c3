"""Full integer quantization in TFLite, without data.

Source: tf.lite.TFLiteConverter of TensorFlow 2.21.
"""

# %% load
from handbook.keras_twin import load_keras_twin  # before TensorFlow: it keeps the notices away
from handbook.record import expected

import tensorflow as tf  # isort: skip

model = load_keras_twin()

# %% no_data
converter = tf.lite.TFLiteConverter.from_keras_model(model)
converter.optimizations = [tf.lite.Optimize.DEFAULT]
converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
with expected(ValueError, "`representative_dataset` must be specified"):
    converter.convert()
assert converter.representative_dataset is None
