"""A QuantizeConfig for weights of four and of three bits, Sequential.

The trunk of the running example, its convolutions with few bits, 8-bit activations: before and
after training, beside the float control with the same batches, three seeds; and the file's types.
Source: tfmot.quantization.keras.QuantizeConfig; tf.lite.TFLiteConverter, TensorFlow 2.21.
"""

# %% load
import os

from handbook.data import fashion_mnist
from handbook.keras_qat import CLASSES, Depthwise, Kernel, Nothing, mean_interval, set_ranges, train
from handbook.record import artifact
from handbook.tflite import quiet, run_tflite

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
float_model = tf_keras.models.load_model(artifact("tensorflow/qat_sequential_float/float.h5"))

# %% annotate
from tensorflow_model_optimization.quantization.keras import quantize_annotate_layer


def with_bits(num_bits):
    configs = {
        tf_keras.layers.Conv2D: Kernel(num_bits),
        tf_keras.layers.DepthwiseConv2D: Depthwise(num_bits),
        tf_keras.layers.BatchNormalization: Nothing(),  # a ReLU follows, and is quantized
    }
    layers = [quantize_annotate_layer(x, configs.get(type(x))) for x in float_model.layers]
    annotated = tf_keras.Sequential([tf_keras.Input((28, 28, 1)), *layers])
    with tfmot.quantization.keras.quantize_scope(CLASSES):
        model = tfmot.quantization.keras.quantize_apply(annotated)
    return set_ranges(model, train_images[:1000])


# %% train
from handbook.measure import accuracy


def predict(model):
    return model.predict(test_images, batch_size=500, verbose=0)


loss = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)
models = {"float": float_model, "4 bits": with_bits(4), "3 bits": with_bits(3)}
before, after = {}, {}
for name, model in models.items():
    model.compile(tf_keras.optimizers.legacy.SGD(momentum=0.9, nesterov=True), loss)
    before[name], start, after[name] = predict(model), model.get_weights(), []
    for seed in range(3):
        train(model, start, train_images, train_labels, seed, rate=0.003)
        after[name].append(predict(model))

# %% convert
from ai_edge_litert import schema_py_generated as schema

types = {number: name for name, number in vars(schema.TensorType).items()}
sizes, kinds, int8 = {}, {}, {}
for name, model in list(models.items())[1:]:
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    path = artifact(f"tensorflow/qat_bits/{name[0]}.tflite")
    with quiet():
        path.write_bytes(converter.convert())
    graph = schema.ModelT.InitFromObj(schema.Model.GetRootAs(path.read_bytes())).subgraphs[0]
    convolution = next(o for o in graph.operators if len(o.inputs) == 3)  # input, weight, bias
    kinds[name] = types[graph.tensors[convolution.inputs[1]].type]
    sizes[name], int8[name] = round(path.stat().st_size / 1024, 1), run_tflite(path, test_images)
assert set(kinds.values()) == {"INT4"}

# %% results
from handbook.measure import agreement
from handbook.record import record, table

rows, means, sizes["float"], kinds["float"] = [], {}, "", ""
for name in models:
    means[name], half_width = mean_interval([accuracy(y, labels).percent for y in after[name]])
    row = {"weights": name, "not trained %": accuracy(before[name], labels).percent}
    row |= {"trained, mean of three %": means[name]}
    row |= {"95 % interval, \N{PLUS-MINUS SIGN}": half_width, "type in the file": kinds[name]}
    file = int8.get(name, after[name][-1])  # for float, the model itself
    row |= {"size KiB": str(sizes[name]), "last run's file %": accuracy(file, labels).percent}
    rows.append(row | {"same answer as in Keras %": agreement(file, after[name][-1])})
ELSEWHERE = "training on another CPU ends elsewhere, and few bits vary most"
wide = {key: 8 for key in rows[0] if key not in ("weights", "type in the file")}
table("results", rows, tolerance=wide, because=ELSEWHERE)
recovered = means["3 bits"] - rows[2]["not trained %"]
left = {f"left_{bits}": round(means["float"] - means[f"{bits} bits"], 2) for bits in (3, 4)}
record(recovered_3=round(recovered, 2), **left, tolerance=10, because=ELSEWHERE)
assert recovered > 2  # here QAT pays
