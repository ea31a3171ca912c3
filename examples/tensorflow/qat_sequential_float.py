"""A Sequential network to quantize: the trunk of the running example.

The layers up to the first branch, with their trained weights, and a new classifier, trained for
five epochs on 4000 images. The whole network cannot be a Sequential, and the error says why.
Source: tf_keras.Sequential, tf_keras 2.21.
"""

# %% load
import os

from handbook.data import fashion_mnist
from handbook.keras_twin import load_keras_twin  # before TensorFlow, whose notices it silences
from handbook.record import artifact, expected, record
from handbook.tflite import quiet

os.environ["TF_USE_LEGACY_KERAS"] = "1"  # tf.keras is Keras 2, the package tf_keras
with quiet():
    import tensorflow as tf
    import tf_keras

tf.config.threading.set_intra_op_parallelism_threads(1)  # more threads sum in another order
tf.config.experimental.enable_op_determinism()
tf_keras.utils.set_random_seed(0)
train_images, train_labels = fashion_mnist("train")
test_images, labels = fashion_mnist("test")
train_images, test_images = (x.transpose(0, 2, 3, 1) for x in (train_images, test_images))

# %% branches
twin = load_keras_twin(tf_keras)
with expected(ValueError, "A merge layer should be called on a list of inputs"):
    tf_keras.Sequential(twin.layers)

# %% build
last = [layer.name for layer in twin.layers].index("separable2.pointwise.relu")
classifier = tf_keras.layers.Dense(10, name="classifier")
model = tf_keras.Sequential(
    [*twin.layers[: last + 1], tf_keras.layers.Flatten(name="flatten"), classifier]
)
record(parameters=model.count_params())

# %% train
from handbook.measure import accuracy

loss = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)
model.compile(tf_keras.optimizers.legacy.Adam(0.001), loss)
model.fit(train_images[:4000], train_labels[:4000], batch_size=128, epochs=5, verbose=0)
logits = model.predict(test_images, batch_size=500, verbose=0)
percent = accuracy(logits, labels).percent
print(f"{percent} %")
assert percent > 86
record(percent=percent, tolerance=2, because="training on another CPU ends elsewhere")
with quiet():  # Keras calls this format legacy; it is the one that a QAT model can be saved in
    model.save(artifact("tensorflow/qat_sequential_float/float.h5"))
