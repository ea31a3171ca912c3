"""Where tfmot's ranges of activations start, and how slowly they move.

A fresh QAT model quantizes everything with ranges from -6 to 6. They are printed after 32 batches
of training, and set from data in three passes instead.
Source: tfmot 0.8.1, quantizers.py (-6 and 6) and MovingAverageQuantizer (ema_decay=0.999).
"""

# %% load
import os

from handbook.data import fashion_mnist
from handbook.keras_qat import set_ranges, train
from handbook.keras_twin import load_keras_twin
from handbook.measure import accuracy
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

# %% fresh
from handbook.record import table

twin = load_keras_twin(tf_keras)
model = tfmot.quantization.keras.quantize_model(twin)


def percent():
    return accuracy(model.predict(test_images, batch_size=500, verbose=0), labels).percent


def ranges():
    names = ["stem.relu/output", "inverted.expand.relu/output", "mean/output"]
    names += ["classifier/post_activation"]
    values = {w.name: float(w.numpy()) for w in model.weights if w.shape == ()}
    return [(values[f"quant_{n}_min:0"], values[f"quant_{n}_max:0"]) for n in names]


fresh, chance = ranges(), percent()
assert chance < 15 and set(fresh) == {(-6.0, 6.0)}
print(f"{chance} %, all ranges {fresh[0]}")

# %% trained
loss = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)
model.compile(tf_keras.optimizers.legacy.SGD(momentum=0.9, nesterov=True), loss)
train(model, model.get_weights(), train_images, train_labels, seed=0)
trained, trained_percent = ranges(), percent()
assert all(low < -5 for low, _ in trained)

# %% set_ranges
model = tfmot.quantization.keras.quantize_model(twin)
set_ranges(model, train_images[:1000])
from_data, from_data_percent = ranges(), percent()
assert from_data_percent > 88  # without any training

# %% results
layers = ["stem (ReLU)", "inverted.expand (ReLU)", "mean", "classifier"]
rows = []
for layer, *columns in zip(layers, fresh, trained, from_data, strict=True):
    text = [f"{low:.2f} to {high:.2f}" for low, high in columns]
    rows.append({"activation": layer, "fresh": text[0], "after 32 batches": text[1]})
    rows[-1]["set from 1000 images"] = text[2]
rows.append({"activation": "accuracy %", "fresh": f"{chance:.2f}"})
rows[-1] |= {"after 32 batches": f"{trained_percent:.2f}"}
rows[-1] |= {"set from 1000 images": f"{from_data_percent:.2f}"}
wide = {"fresh": 10, "after 32 batches": 3, "set from 1000 images": 2}
table("results", rows, tolerance=wide, because="training on another CPU ends elsewhere")
