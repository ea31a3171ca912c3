"""ONNX Runtime's dynamic quantization: what goes wrong.

The preparation fails on a transformer of any length; types and names that match nothing.
Source: onnxruntime.quantization; pull request 28075 of microsoft/onnxruntime.
"""

# %% load
import logging

import onnx
from onnxruntime.quantization import quantize_dynamic
from onnxruntime.quantization.shape_inference import quant_pre_process

from handbook.record import artifact, expected

logging.disable(logging.WARNING)  # advice of the quantizer
exported = artifact("onnx/ptq_dynamic/exported.onnx")  # the sentence encoder, as it was exported
image_model = artifact("affine/quantized_models/prepared.onnx")  # the running example
path = artifact("onnx/ptq_dynamic_errors/model.onnx")

# %% symbolic_shapes
with expected(TypeError, "object of type 'NoneType' has no len()"):
    quant_pre_process(exported, path)

# %% nothing_matches
for choice in (
    {"op_types_to_quantize": ["Gemm"]},
    {"nodes_to_quantize": ["classifier"]},
    {"op_types_to_quantize": ["MatMul"]},
):
    quantize_dynamic(image_model, path, **choice)
    operators = [node.op_type for node in onnx.load(path).graph.node]
    print(choice, "- MatMulInteger:", operators.count("MatMulInteger"))
assert operators.count("MatMulInteger") == 1 and "Gemm" not in operators
