"""Is the int8 file the model that was trained? The Sequential model's last run.

The outputs of the Keras model and of its file, of all 10 000 test images, in steps of the scale.
Source: tf.lite.TFLiteConverter, TensorFlow 2.21, and tfmot 0.8.1.
"""

# %% load
import numpy as np

from handbook.conversions import conversions, parity
from handbook.data import fashion_mnist
from handbook.measure import file_size_kib
from handbook.record import artifact
from handbook.tflite import read_tflite

labels = fashion_mnist("test")[1]
logits = np.load(artifact("tensorflow/qat_sequential/logits.npz"))
path = artifact("tensorflow/qat_sequential/qat-2.tflite")

# %% agreement
operators = read_tflite(path)
scale = operators[-1].inputs[0].scale
kept = parity(logits["QAT: int8"], logits["QAT, in Keras"], labels, scale)
integer = sum(operator.name != "DEQUANTIZE" for operator in operators)
kept |= {"integer operators": integer, "float operators": 0, "size KiB": file_size_kib(path)}
first = ("Keras, float", "Keras, QAT", "tfmot, Sequential")
second = ("Keras, QAT", "TFLite, int8", "TFLiteConverter, Sequential")
edges = {first: parity(logits["QAT, in Keras"], logits["float, loaded"], labels), second: kept}
conversions(edges, because="training on another CPU ends elsewhere")
assert kept["same answer %"] > 97
