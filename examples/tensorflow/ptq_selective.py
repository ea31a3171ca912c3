"""Selective quantization with the AI Edge Quantizer: 4-bit weights, and 8 where it hurts.

Every convolution in turn gets 8 bits while all others have 4, on training images; the best ones
then keep 8 bits, judged on all test images.
Source: ai_edge_quantizer.quantizer.Quantizer.add_weight_only_config, version 0.10.
"""

# %% load
import numpy as np
from ai_edge_quantizer import quantizer
from ai_edge_quantizer.qtyping import TFLOperationName

from handbook.data import fashion_mnist
from handbook.measure import SCORE_TOLERANCE, agreement, file_size_kib, score
from handbook.record import artifact, record, table
from handbook.tflite_operators import Runner, tflite_operators

float_path = artifact("tensorflow/ptq/float32.tflite")
selection_images, test_images = (
    np.ascontiguousarray(fashion_mnist(split)[0].transpose(0, 2, 3, 1))
    for split in ("train", "test")
)
selection_images = selection_images[1000:3000]  # never choose layers by the test images
_, labels = fashion_mnist("test")

# %% names
convolutions = [operator for operator in tflite_operators(float_path) if operator.weights]
print(convolutions[1].tensor)  # what a pattern is searched in


# %% quantize
def quantize(eight_bits):
    """All weights in 4 bits, but for the operators whose output tensor matches."""
    mixed = quantizer.Quantizer(str(float_path))
    mixed.add_weight_only_config(".*", TFLOperationName.ALL_SUPPORTED, 4)
    for name in eight_bits:  # a later line wins
        mixed.add_weight_only_config(name, TFLOperationName.ALL_SUPPORTED, 8)
    path = artifact(f"tensorflow/ptq_selective/{len(eight_bits)}.tflite")
    path.write_bytes(mixed.quantize(enable_progress_report=False).quantized_model)
    return path


# %% sensitivity
LAYERS = ["stem", "separable1.depthwise", "separable1.pointwise", "separable2.depthwise"]
LAYERS += ["separable2.pointwise", "inverted.expand", "inverted.depthwise", "inverted.project"]
LAYERS += ["branch1x1", "branch3x3"]
patterns = {layer: rf"/{layer.replace('.', chr(92) + '.')}\." for layer in LAYERS}
patterns["classifier"] = "StatefulPartitionedCall"  # the output has the name of the call
float_logits = Runner(float_path)(selection_images)
all_4 = agreement(Runner(quantize([]))(selection_images), float_logits)
gains = {}
for layer, pattern in patterns.items():
    logits = Runner(quantize([pattern]))(selection_images)
    gains[layer] = round(agreement(logits, float_logits) - all_4, 2)
ranked = sorted(gains, key=gains.get, reverse=True)
print("all in 4 bits:", all_4)
for layer in ranked[:4]:
    print(f"{layer:22} {gains[layer]:+.2f}")
assert ranked[0] == "separable1.pointwise"

# %% results
float_logits = Runner(float_path)(test_images)
rows = []
for name, layers in {
    "none": [],
    "the most sensitive one": ranked[:1],
    "the three most sensitive": ranked[:3],
    "all": ranked,
}.items():
    path = quantize([patterns[layer] for layer in layers])
    row = {"layers with 8 bits": name} | score(Runner(path)(test_images), labels, float_logits)
    rows.append(row | {"size KiB": file_size_kib(path)})
tolerance = SCORE_TOLERANCE["tolerance"] | {"size KiB": 6}
table("results", rows, tolerance=tolerance, because=SCORE_TOLERANCE["because"])
none, one, three, everything = (row["same answer as float %"] for row in rows)
assert none + 1 < one < everything and three > one - 0.5
record(most_sensitive=ranked[0])

# %% keep_float
from ai_edge_quantizer import recipe
from ai_edge_quantizer.algorithm_manager import AlgorithmName

partly = quantizer.Quantizer(str(float_path), recipe.dynamic_wi8_afp32())
partly.update_quantization_recipe(
    patterns["separable1.pointwise"],
    TFLOperationName.CONV_2D,
    algorithm_key=AlgorithmName.NO_QUANTIZE,
)
partly_quantized = bytes(partly.quantize(enable_progress_report=False).quantized_model)
for operator in tflite_operators(partly_quantized)[:4]:
    print(f"{operator.name:18} {operator.weights}")
assert [operator.weights for operator in tflite_operators(partly_quantized)][3] == "float32"
