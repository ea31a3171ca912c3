"""ONNX Runtime's data types: what its quantizer refuses.

int8 activations with uint8 weights, 16 and 4 bits in QOperator format, 8-bit floats with min and
max; and 4 bits below opset 21, which it takes.
Source: onnxruntime.quantization.quantize_static; pull request 22226 of microsoft/onnxruntime.
"""

# %% load
import logging

import onnx
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)

from handbook.data import fashion_mnist
from handbook.record import artifact, expected

logging.disable(logging.WARNING)
prepared = artifact("affine/quantized_models/prepared.onnx")  # float, normalization folded
path = artifact("onnx/data_types_errors/model.onnx")


class Reader(CalibrationDataReader):
    def __init__(self):
        self.batches = iter([{"images": fashion_mnist("train")[0][:100]}])

    def get_next(self):
        return next(self.batches, None)


# %% s8u8
types = {"activation_type": QuantType.QInt8, "weight_type": QuantType.QUInt8}
with expected(ValueError, "doesn't support data format"):
    quantize_static(prepared, path, Reader(), **types)

# %% qoperator
types = {"activation_type": QuantType.QUInt16, "weight_type": QuantType.QUInt8}
with expected(ValueError, "Only QuantFormat.QDQ supports 16-bit quantization types"):
    quantize_static(prepared, path, Reader(), quant_format=QuantFormat.QOperator, **types)

# %% four_bits
types = {"activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt4}
with expected(RuntimeError, "must be 8-bit before packing as 4-bit values"):
    quantize_static(prepared, path, Reader(), quant_format=QuantFormat.QOperator, **types)

# %% opset
from collections import Counter

quantize_static(prepared, path, Reader(), **types)  # QDQ
model = onnx.load(path)
nodes = Counter(f"{n.domain} {n.op_type}" for n in model.graph.node if "Linear" in n.op_type)
print("opset", model.opset_import[0].version, dict(nodes))
assert all(name.startswith("com.microsoft") for name in nodes)

# %% calibration
types = {"activation_type": QuantType.QFLOAT8E4M3FN, "weight_type": QuantType.QFLOAT8E4M3FN}
with expected(ValueError, "Only Distribution calibration method is supported"):
    quantize_static(prepared, path, Reader(), **types)
