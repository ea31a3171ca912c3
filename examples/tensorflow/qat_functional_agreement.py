"""Is the int8 file the model that was trained? All QAT models of the Functional page.

The outputs of each Keras model and of its file, of all 10 000 test images, in steps of the scale;
and the conversions of the page, for the atlas.
Source: tf.lite.TFLiteConverter, TensorFlow 2.21, and tfmot 0.8.1.
"""

# %% load
import numpy as np

from handbook.conversions import conversions, parity
from handbook.data import fashion_mnist
from handbook.measure import file_size_kib
from handbook.record import artifact, table
from handbook.tflite import read_tflite

labels = fashion_mnist("test")[1]

# %% agreement
rows, edges, outputs = [], {}, {}
for kind, file in {"QAT, default": "default", "QAT, depthwise per channel": "own"}.items():
    for seed in range(3):
        path = artifact(f"tensorflow/qat_functional/{file}-{seed}.tflite")
        operators, outputs[file] = read_tflite(path), np.load(path.with_suffix(".npz"))
        scale = operators[-1].inputs[0].scale
        kept = parity(outputs[file]["int8"], outputs[file]["in_keras"], labels, scale)
        rows.append({"model": kind, "seed": seed} | kept)
        integer = sum(operator.name != "DEQUANTIZE" for operator in operators)
        kept |= {"integer operators": integer, "float operators": 0}
        edge = ("Keras, QAT", "TFLite, int8", f"TFLiteConverter, {kind}")
        edges[edge] = kept | {"size KiB": file_size_kib(path)}
wide = {"accuracy %": 2, "95 % interval": 2, "same answer %": 2, "identical outputs %": 20}
wide |= {"largest difference": 6}
ELSEWHERE = "training on another CPU ends elsewhere"
table("agreement", rows, tolerance=wide, because=ELSEWHERE)
identical = [np.mean([r["identical outputs %"] for r in part]) for part in (rows[:3], rows[3:])]
assert identical[0] + 10 < identical[1]  # one scale for each channel is what survives
assert min(row["same answer %"] for row in rows) > 98

# %% conversions
loaded = np.load(artifact("tensorflow/qat_functional/float-loaded.npz"))["in_keras"]
edge = ("Keras, float", "Keras, QAT", "tfmot, Functional")
edges[edge] = parity(outputs["default"]["in_keras"], loaded, labels)
conversions(edges, because=ELSEWHERE)
