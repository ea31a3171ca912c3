"""Ranges that no formula expects: constants, NaN, infinity, nothing at all.

Scale and zero point that six implementations make of the same data, for uint8 (LiteRT: int8).
Source: the implementations, called directly.
"""

# %% data
import numpy as np

DATA = {
    "-1 to 3": [-1, 3],
    "all zeros": [0, 0],
    "all 5": [5, 5],
    "all -5": [-5, -5],
    "0 to 1e-42": [0, 1e-42],  # float32 has such subnormal numbers
    "-3e38 to 3e38": [-3e38, 3e38],  # the width is no float32
    "0 to infinity": [0, np.inf],
    "one NaN": [-1, np.nan, 3],
    "all NaN": [np.nan, np.nan],
    "empty": [],
}
DATA = {name: np.array(values, np.float32) for name, values in DATA.items()}

# %% pytorch
import warnings

import torch
from torch.ao.quantization import HistogramObserver, MinMaxObserver

EXPECTED = "torch.ao.quantization is|Please use|must run observer|torch.inf detected"
warnings.filterwarnings("ignore", EXPECTED)
warnings.filterwarnings("ignore", category=RuntimeWarning)  # NumPy's, of overflow and of NaN


def pytorch(x, observer_class=MinMaxObserver):
    observer = observer_class(dtype=torch.quint8)
    observer(torch.from_numpy(x))
    return observer.calculate_qparams()


# %% onnxruntime
import onnxruntime
from onnx import parser
from onnxruntime.quantization.quant_utils import compute_scale_zp

MODEL = parser.parse_model(
    '<ir_version: 10, opset_import: ["" : 21]> g (float[N] x) => (uint8[N] y, float s, uint8 z)'
    "{ y, s, z = DynamicQuantizeLinear(x) }"
)
session = onnxruntime.InferenceSession(MODEL.SerializeToString())


def onnxruntime_static(x):
    zero_point, scale = compute_scale_zp(x.min(), x.max(), np.uint8(0), np.uint8(255))
    return scale, zero_point


# %% litert
from ai_edge_quantizer.algorithms.uniform_quantize import uniform_quantize_tensor
from ai_edge_quantizer.qtyping import QuantGranularity


def litert(x):
    zero_point, scale = uniform_quantize_tensor.tensor_zp_scale_from_min_max(
        x.min(keepdims=True), x.max(keepdims=True), 8, False, QuantGranularity.TENSORWISE
    )
    return scale, zero_point


# %% results
from handbook.record import table
from handbook.reference import quantization_parameters

IMPLEMENTATIONS = {
    "MinMaxObserver": pytorch,
    "HistogramObserver": lambda x: pytorch(x, HistogramObserver),
    "DynamicQuantizeLinear": lambda x: session.run(["s", "z"], {"x": x}),
    "compute_scale_zp": onnxruntime_static,
    "ai_edge_quantizer": litert,
    "handbook.reference": lambda x: quantization_parameters(x.min(), x.max()),
}
by_data = {}
for data, x in DATA.items():
    row = by_data[data] = {"data": data}
    for name, parameters in IMPLEMENTATIONS.items():
        try:
            scale, zero_point = (np.asarray(p).item() for p in parameters(x))
            row[name] = f"{scale:.4g}, {zero_point:g}" if scale == scale else "NaN"
        except (ValueError, AssertionError, RuntimeError) as error:
            row[name] = type(error).__name__
    if np.isnan(x).any():  # what the minimum of a NaN is
        row["DynamicQuantizeLinear"] = "depends on the CPU"
table("parameters", list(by_data.values()))
assert by_data["one NaN"]["MinMaxObserver"] == "NaN"  # and no error
assert by_data["-3e38 to 3e38"]["MinMaxObserver"].startswith("inf")
