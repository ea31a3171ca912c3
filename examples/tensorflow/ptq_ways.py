"""From Keras 3 to TFLite: four ways that work and two that give NaN.

Each way converts the same network; each file is run on 500 images and compared with Keras.
Source: tf.lite.TFLiteConverter; keras.Model.export.
"""

# %% load
import logging

import numpy as np

from handbook.data import fashion_mnist
from handbook.keras_twin import load_keras_twin  # before TensorFlow: it keeps the notices away
from handbook.record import artifact
from handbook.tflite import quiet

import tensorflow as tf  # isort: skip

model = load_keras_twin()  # a Keras 3 model
images = np.ascontiguousarray(fashion_mnist("test")[0][:500].transpose(0, 2, 3, 1))
folder = artifact("tensorflow/ptq_ways/exported").parent
convert = tf.lite.TFLiteConverter
# from_concrete_functions without trackable_obj logs that its path is deprecated.
logging.getLogger("absl").setLevel(logging.ERROR)
files = {}

# %% from_keras_model
with quiet():
    files["from_keras_model(model)"] = convert.from_keras_model(model).convert()

# %% export
with quiet():
    model.export(str(folder / "exported"))  # a SavedModel, made by Keras
    converter = convert.from_saved_model(str(folder / "exported"))
    files["model.export, from_saved_model"] = converter.convert()

# %% litert
with quiet():
    model.export(str(folder / "model.tflite"), format="litert")
    files['model.export(format="litert")'] = (folder / "model.tflite").read_bytes()

# %% concrete
signature = tf.TensorSpec((None, 28, 28, 1), tf.float32)
function = tf.function(lambda images: model(images)).get_concrete_function(signature)
with quiet():
    files["from_concrete_functions([f])"] = convert.from_concrete_functions([function]).convert()
    converter = convert.from_concrete_functions([function], model)
    files["from_concrete_functions([f], model)"] = converter.convert()

# %% saved
with quiet():
    tf.saved_model.save(model, str(folder / "saved"))  # TensorFlow's function, not Keras'
    converter = convert.from_saved_model(str(folder / "saved"))
    files["tf.saved_model.save, from_saved_model"] = converter.convert()

# %% tf_keras
with quiet():
    import tf_keras

old_model = load_keras_twin(tf_keras)
with quiet():
    files["tf_keras: from_keras_model(model)"] = convert.from_keras_model(old_model).convert()
    tf.saved_model.save(old_model, str(folder / "old"))
    converter = convert.from_saved_model(str(folder / "old"))
    files["tf_keras: tf.saved_model.save, from_saved_model"] = converter.convert()

# %% results
from handbook.measure import file_size_kib
from handbook.record import table
from handbook.tflite_operators import Runner, tflite_operators

keras_logits, rows = model.predict(images, verbose=0), []
for way, content in files.items():
    (path := folder / "file.tflite").write_bytes(content)
    logits = Runner(path)(images)
    missing = sum(operator.name == "READ_VARIABLE" for operator in tflite_operators(path))
    row = {"way": way, "NaN %": 100 * float(np.isnan(logits).mean())}
    same = np.isfinite(logits).all() and (logits.argmax(1) == keras_logits.argmax(1)).mean()
    row |= {"same answer as Keras %": 100 * float(same), "size KiB": file_size_kib(path)}
    rows.append(row | {"variables read and never set": missing})
    if way.split(":")[0] != "tf_keras" and row["NaN %"] == 0:
        assert np.abs(logits - keras_logits).max() < 1e-4
table("ways", rows, tolerance={"size KiB": 5}, because="a version writes more or fewer names")
broken = [row["way"] for row in rows if row["NaN %"] == 100]
assert broken == ["from_concrete_functions([f], model)", "tf.saved_model.save, from_saved_model"]

# %% in_tensorflow
loaded = tf.saved_model.load(str(folder / "saved")).signatures["serving_default"]
(logits,) = loaded(tf.constant(images)).values()
assert np.abs(logits - keras_logits).max() < 1e-4  # the SavedModel itself is right

# %% calibrate
from handbook.record import expected

converter = convert.from_saved_model(str(folder / "saved"))
converter.optimizations = [tf.lite.Optimize.DEFAULT]
converter.representative_dataset = lambda: ([image[np.newaxis]] for image in images[:10])
with expected(RuntimeError, "variable != nullptr was not true"), quiet():
    converter.convert()
