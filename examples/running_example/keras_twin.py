"""The Keras twin of the running example.

The same weights in native Keras layers, NHWC: its logits beside PyTorch's on all test images, and
the one padding where "same" would have been wrong.
Source: keras.layers.Conv2D and torch.nn.Conv2d (their padding arguments).
"""

# %% load
from handbook.data import fashion_mnist
from handbook.keras_twin import load_keras_twin
from handbook.running_example import load_running_example, predict

keras_model = load_keras_twin()
torch_model = load_running_example()
test_images, labels = fashion_mnist("test")
print(keras_model.input_shape, "->", keras_model.output_shape)

# %% compare
import numpy as np

from handbook.measure import accuracy, agreement
from handbook.record import record

nhwc_images = test_images.transpose(0, 2, 3, 1)
keras_logits = keras_model.predict(nhwc_images, batch_size=500, verbose=0)
torch_logits = predict(torch_model, test_images)

difference = float(np.abs(keras_logits - torch_logits).max())
same_class = agreement(keras_logits, torch_logits)
correct = accuracy(keras_logits, labels)
print(f"largest difference of a logit: {difference:.1e}")
print(f"same class: {same_class} %, accuracy: {correct.percent} %")
assert difference < 1e-4
assert same_class == 100
assert correct == accuracy(torch_logits, labels)

SUMS = "float32 sums in another order on another CPU"
record(difference=difference, tolerance=1e-4, because=SUMS)
record(same_class=same_class, accuracy=correct.percent)

# %% padding
import keras

twin_stem = keras_model.get_layer("stem.conv")
same_stem = keras.layers.Conv2D(16, 3, strides=2, padding="same", use_bias=False)
same_stem.build(nhwc_images.shape)
same_stem.set_weights(twin_stem.get_weights())

padded_images = np.pad(nhwc_images[:500], ((0, 0), (1, 1), (1, 1), (0, 0)))
expected = np.asarray(twin_stem(padded_images))
shifted = np.asarray(same_stem(nhwc_images[:500]))  # pads the right and the bottom only
stem_difference = float(np.abs(shifted - expected).max())
print(f"stem with padding='same': {shifted.shape}, off by up to {stem_difference:.2f}")
assert shifted.shape == expected.shape  # no error tells
assert stem_difference > 1
record(stem_difference=round(stem_difference, 2), tolerance=0.01, because=SUMS)
