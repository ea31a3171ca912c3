"""Axes in Keras and TFLite: where the output channel is, and along which axis the scales lie.

One layer of each kind, quantized by the TFLite converter; its kernel is read from Keras, the shape
and the axis of the quantized weight from the file.
Source: TFLite's schema: QuantizationParameters, its quantized_dimension.
"""

# %% model
import json
import warnings

import numpy as np

from handbook.keras_twin import keras
from handbook.tflite import quiet

warnings.simplefilter("ignore")
layers = keras.layers
x = images = keras.Input((12, 12, 4), batch_size=1)
for layer in (
    layers.Conv2D(8, 3),
    layers.DepthwiseConv2D(3),
    layers.Conv2DTranspose(6, 2),
    layers.GlobalAveragePooling2D(),
    layers.Dense(5),
):
    x = layer(x)
model = keras.Model(images, x)

# %% convert
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema


def quantized_weights(**options):
    """For each operator that has a weight: its shape, the axis of the scales, their number."""
    data = np.random.default_rng(0).normal(size=(8, 1, 12, 12, 4)).astype(np.float32)
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([image] for image in data)
    for name, value in options.items():
        setattr(converter, name, value)
    with quiet():  # pages of progress
        file = schema.ModelT.InitFromObj(schema.Model.GetRootAs(converter.convert()))
    names = {code: name for name, code in vars(schema.BuiltinOperator).items()}
    graph, weights = file.subgraphs[0], {}
    for operator in graph.operators:
        name = names[file.operatorCodes[operator.opcodeIndex].builtinCode]
        for tensor in (graph.tensors[index] for index in operator.inputs):
            constant = file.buffers[tensor.buffer].data is not None
            if constant and tensor.type == schema.TensorType.INT8:  # no bias, no activation
                shape, parameters = str(tuple(map(int, tensor.shape))), tensor.quantization
                weights[name] = shape, parameters.quantizedDimension, len(parameters.scale)
    return weights


weights = quantized_weights()
per_tensor = quantized_weights(_experimental_disable_per_channel_quantization_for_dense_layers=True)

# %% results
from handbook.record import artifact, record, table

rows = []
kernels = [layer for layer in model.layers if layer.weights]
for layer, (operator, (shape, axis, scales)) in zip(kernels, weights.items(), strict=True):
    row = {"layer": type(layer).__name__, "Keras kernel": str(tuple(layer.weights[0].shape))}
    rows.append(row | {"operator": operator, "weight": shape, "axis": axis, "scales": scales})
table("axes", rows)
artifact("affine/axes_tflite/axes.json").write_text(json.dumps(rows))
assert [(row["axis"], row["scales"]) for row in rows] == [(0, 8), (3, 8), (0, 6), (0, 5)]

shape, _, scales = per_tensor["FULLY_CONNECTED"]
print("FULLY_CONNECTED, the option set:", shape, "scales:", scales)
record(dense_scales=rows[-1]["scales"], dense_scales_disabled=scales)
assert scales == 1
