"""Keras Functional: the running example's Keras twin, trained with fake quantization.

Float as a control, tfmot's default, and depthwise weights with one scale for each channel, by a
QuantizeConfig of our own: the same batches, three seeds. The trained models are saved.
Source: tfmot.quantization.keras.quantize_annotate_layer and QuantizeConfig, tfmot 0.8.1.
"""

# %% load
import os

from handbook.data import fashion_mnist
from handbook.keras_qat import CLASSES, Depthwise, Nothing, set_ranges, train
from handbook.keras_twin import load_keras_twin
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
train_images = train_images.transpose(0, 2, 3, 1)

# %% default
twin = load_keras_twin(tf_keras)  # the same float weights as in PyTorch
default = tfmot.quantization.keras.quantize_model(twin)

# %% annotate
from tensorflow_model_optimization.quantization.keras import quantize_annotate_layer


def annotate(layer):
    if isinstance(layer, tf_keras.layers.DepthwiseConv2D):
        return quantize_annotate_layer(layer, Depthwise(num_bits=8))
    if layer.name.endswith("depthwise.bn"):  # the converter folds it; the ReLU is quantized
        return quantize_annotate_layer(layer, Nothing())
    return quantize_annotate_layer(layer)


annotated = tf_keras.models.clone_model(twin, clone_function=annotate)
annotated.set_weights(twin.get_weights())  # a clone has new ones
with tfmot.quantization.keras.quantize_scope(CLASSES):
    own = tfmot.quantization.keras.quantize_apply(annotated)

# %% shapes
from handbook.record import table

rows = []
for name, model in {"default": default, "own": own}.items():
    for layer in ("quant_stem.conv", "quant_separable1.depthwise.conv"):
        (low,) = (w for w in model.get_layer(layer).weights if w.name.endswith("kernel_min:0"))
        channels = model.get_layer(layer).output_shape[-1]
        rows.append({"model": name, "layer": layer.removeprefix("quant_"), "channels": channels})
        rows[-1]["ranges of weights"] = int(low.shape[0])
table("shapes", rows)
assert [row["ranges of weights"] for row in rows] == [16, 1, 16, 16]

# %% train
loss = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)
for name, model in {"float": twin, "default": default, "own": own}.items():
    if model is not twin:
        set_ranges(model, train_images[:1000])
    model.compile(tf_keras.optimizers.legacy.SGD(momentum=0.9, nesterov=True), loss)
    start = model.get_weights()
    for seed in range(3):
        train(model, start, train_images, train_labels, seed)
        with quiet():  # Keras calls this format legacy; no other loads a QAT model
            model.save(artifact(f"tensorflow/qat_functional_train/{name}-{seed}.h5"))
