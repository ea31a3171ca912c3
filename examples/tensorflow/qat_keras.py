"""Which Keras tfmot works with, and how the order of the imports decides what tf.keras is.

Importing tfmot switches tf.keras to Keras 2, unless something has used tf.keras before.
Source: tensorflow_model_optimization/python/core/keras/compat.py, tfmot 0.8.1.
"""

# %% load
import os
import subprocess
import sys

from handbook.keras_twin import keras  # Keras 3
from handbook.tflite import quiet

os.environ.pop("TF_USE_LEGACY_KERAS", None)
with quiet():
    import tensorflow as tf
    import tensorflow_model_optimization
    import tf_keras

# %% versions
print("keras   ", keras.__version__)
print("tf_keras", tf_keras.__version__)
print("tf.keras is tf_keras:", tf.keras.Model is tf_keras.Model)
print("TF_USE_LEGACY_KERAS:", os.environ["TF_USE_LEGACY_KERAS"])  # tfmot has set it
assert tensorflow_model_optimization.__version__ and tf.keras.Model is tf_keras.Model

# %% too_late
program = """
import tensorflow as tf
before = tf.keras.Model
import tensorflow_model_optimization as tfmot
print("tf.keras is Keras", tf.keras.__version__)
layers = [tf.keras.Input((4,)), tf.keras.layers.Dense(2)]
try:
    tfmot.quantization.keras.quantize_model(tf.keras.Sequential(layers))
except ValueError as error:
    print("ValueError:", error)
"""
environment = {k: v for k, v in os.environ.items() if k != "TF_USE_LEGACY_KERAS"}
run = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True)
print(run.stdout.decode().strip())
assert b"can only either be a keras Sequential or Functional model" in run.stdout
