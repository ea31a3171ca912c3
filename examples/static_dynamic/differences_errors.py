"""Static and dynamic quantization: what people stumble over.

A model that nobody calibrated, a reader without data, a calibration set of one shape too few, and
dynamic quantization that changes nothing.
Source: run with torch.ao.quantization of PyTorch 2.13 and onnxruntime.quantization 1.32.
"""

# %% load
import warnings

import numpy as np
import torch

from handbook.record import artifact, expected

warnings.simplefilter("ignore")  # deprecation notices, which another page explains
torch.backends.quantized.engine = "x86"

# %% not_calibrated
from torch.ao.quantization import QuantStub, convert, get_default_qconfig, prepare

model = torch.nn.Sequential(QuantStub(), torch.nn.Linear(96, 10)).eval()
model.qconfig = get_default_qconfig("x86")
prepared = prepare(model)  # and no data
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    quantized = convert(prepared)
print(*{str(w.message).strip() for w in caught if "must run observer" in str(w.message)})
print("scale", quantized[1].scale, "zero point", quantized[1].zero_point)
assert quantized[1].scale == 1 and caught

# %% nothing_changed
from torch.ao.quantization import default_dynamic_qconfig, quantize_dynamic

network = torch.nn.Sequential(torch.nn.Conv2d(1, 16, 3), torch.nn.ReLU())
asked = quantize_dynamic(network, {torch.nn.Conv2d: default_dynamic_qconfig})
print(asked[0])
assert type(asked[0]) is torch.nn.Conv2d  # no error, no warning, and still float

# %% no_reader
from onnxruntime.quantization import CalibrationDataReader, quantize_static

prepared = artifact("affine/quantized_models/prepared.onnx")
output = artifact("static_dynamic/differences_errors/int8.onnx")


class Reader(CalibrationDataReader):
    def __init__(self, batches):
        self.batches = iter(batches)

    def get_next(self):
        return next(self.batches, None)


with expected(ValueError, "Either calibration_data_reader or"):
    quantize_static(prepared, output, None)

# %% empty_reader
reader = Reader([{"images": np.zeros((1, 1, 28, 28), np.float32)}])
quantize_static(prepared, output, reader)  # reads it to its end
with expected(ValueError, "No data is collected"):
    quantize_static(prepared, output, reader)

# %% wrong_name
images = np.zeros((1, 1, 28, 28), np.float32)
with expected(ValueError, "are missing from input feed"):
    quantize_static(prepared, output, Reader([{"image": images}]))

# %% dtype
from onnxruntime.capi.onnxruntime_pybind11_state import InvalidArgument

with expected(InvalidArgument, "Unexpected input data type"):
    quantize_static(prepared, output, Reader([{"images": images.astype(np.float64)}]))
