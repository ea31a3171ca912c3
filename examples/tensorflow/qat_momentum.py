"""The momentum of batch normalization, when quantization aware training is short.

The trunk of the running example with three momenta, in float and with fake quantization, for 32
batches at a high rate: the running statistics must follow, or the model is evaluated with old ones.
Source: tf_keras.layers.BatchNormalization, whose default is 0.99.
"""

# %% load
import os

from handbook.data import fashion_mnist
from handbook.keras_qat import set_ranges, train
from handbook.measure import accuracy
from handbook.record import artifact
from handbook.tflite import quiet

os.environ["TF_USE_LEGACY_KERAS"] = "1"  # tf.keras is Keras 2, the package tf_keras
with quiet():
    import tensorflow as tf
    import tensorflow_model_optimization as tfmot
    import tf_keras

tf.config.threading.set_intra_op_parallelism_threads(1)  # more threads sum in another order
tf.config.experimental.enable_op_determinism()
train_images, train_labels = fashion_mnist("train")
test_images, labels = fashion_mnist("test")
train_images, test_images = (x.transpose(0, 2, 3, 1) for x in (train_images, test_images))
float_file = artifact("tensorflow/qat_sequential_float/float.h5")
loss = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)


# %% train
def trained(momentum, quantize):
    model = tf_keras.models.load_model(float_file, compile=False)
    for layer in model.layers:
        if isinstance(layer, tf_keras.layers.BatchNormalization):
            layer.momentum = momentum
    if quantize:
        model = tfmot.quantization.keras.quantize_model(model)  # copies the momentum
        set_ranges(model, train_images[:1000])
    model.compile(tf_keras.optimizers.legacy.SGD(momentum=0.9, nesterov=True), loss)
    start, found = model.get_weights(), []
    for seed in range(3):
        train(model, start, train_images, train_labels, seed, rate=0.01)
        with quiet():  # TensorFlow mentions that each model makes a function of its own
            logits = model.predict(test_images, batch_size=500, verbose=0)
        found.append(accuracy(logits, labels).percent)
    return found


scores = {(m, q): trained(m, q) for m in (0.9, 0.99, 0.999) for q in (False, True)}

# %% results
from handbook.keras_qat import mean_interval
from handbook.record import table

rows = []
for momentum in (0.9, 0.99, 0.999):
    row = {"momentum": momentum}
    for quantize, name in ((False, "float"), (True, "QAT")):
        mean, half_width = mean_interval(scores[momentum, quantize])
        row |= {f"{name}, mean of three %": mean}
        row |= {f"{name}, 95 % interval, \N{PLUS-MINUS SIGN}": half_width}
    rows.append(row)
spread = {key: 4 for key in rows[0] if key != "momentum"}
table("results", rows, tolerance=spread, because="training on another CPU ends elsewhere")
assert rows[0]["QAT, mean of three %"] > rows[2]["QAT, mean of three %"] - 0.3
