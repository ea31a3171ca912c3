"""Is the int8 file the Keras 3 model that was trained?

The outputs of the model of qat_keras3.py and of its file, of all 10 000 test images.
Source: tf.lite.TFLiteConverter, TensorFlow 2.21.
"""

# %% load
import numpy as np

from handbook.conversions import conversions, parity
from handbook.data import fashion_mnist
from handbook.measure import file_size_kib
from handbook.record import artifact
from handbook.running_example import load_running_example, predict
from handbook.tflite import read_tflite, run_tflite

images, labels = fashion_mnist("test")
path = artifact("tensorflow/qat_keras3/int8.tflite")
in_keras = np.load(artifact("tensorflow/qat_keras3/int8.npy"))

# %% agreement
operators = read_tflite(path)
int8 = run_tflite(path, images.transpose(0, 2, 3, 1))
kept = parity(int8, in_keras, labels, operators[-1].inputs[0].scale)
integer = sum(operator.name != "DEQUANTIZE" for operator in operators)
kept |= {"integer operators": integer, "float operators": 0, "size KiB": file_size_kib(path)}
first = ("Keras, float", "Keras, QAT", "layers of our own, Keras 3")
second = ("Keras, QAT", "TFLite, int8", "TFLiteConverter, Keras 3")
float_logits = predict(load_running_example(), images)  # the Keras twin has the same weights
edges = {first: parity(in_keras, float_logits, labels), second: kept}
conversions(edges, because="training on another CPU ends elsewhere")
assert kept["same answer %"] > 97 and kept["accuracy %"] > 88
