"""What the converter from ONNX to Keras refuses, and how it says so.

An operator that it does not know, and a result that is too far from ONNX Runtime's.
Source: handbook.onnx_to_keras.
"""

# %% refuses
import onnx

from handbook.onnx_to_keras import onnx_to_keras
from handbook.record import artifact, expected

onnx_path = artifact("conversion/pytorch_float_to_onnx_float/running_example.onnx")
onnx_model = onnx.load(onnx_path)
onnx_model.graph.node[1].op_type = "Erf"  # in the place of the first ReLU
with expected(ValueError, "no Keras layer is known"):
    onnx_to_keras(onnx_model)

# %% compares
with expected(ValueError, "from ONNX Runtime, more than 1e-12"):
    onnx_to_keras(onnx_path, tolerance=1e-12)
assert onnx_to_keras(onnx_path)  # with the usual tolerance, it is right
