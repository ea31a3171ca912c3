"""A constant tensor, with and without a zero point.

All values are equal, so the range reaches from 0 to that value: both schemes give it back exactly.
Source: handbook.reference, which equals ONNX's QuantizeLinear.
"""

# %% constant
import numpy as np

from handbook.record import table
from handbook.reference import dequantize_linear, quantization_parameters, quantize_linear

rows = []
for value in (5, -5, 0):
    for symmetric in (True, False):
        x = np.full(4, value, np.float32)
        scale, zero_point = quantization_parameters(x.min(), x.max(), "int8", symmetric=symmetric)
        q = quantize_linear(x, scale, zero_point, dtype="int8")
        row = {"all values are": value, "scheme": "symmetric" if symmetric else "asymmetric"}
        row |= {"scale": round(float(scale), 5), "zero point": int(zero_point), "integer": q[0]}
        rows.append(row)
        assert np.allclose(dequantize_linear(q, scale, zero_point), x, rtol=1e-6, atol=0)
table("constant", rows)
