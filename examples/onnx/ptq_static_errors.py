"""Static quantization in ONNX Runtime: an error and two warnings.

A last batch that is smaller than the others, and two warnings.
Source: run with onnxruntime.quantization 1.32.
"""

# %% load
import logging
from contextlib import redirect_stdout
from io import StringIO

import numpy as np
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    quantize_static,
)

from handbook.data import fashion_mnist
from handbook.record import artifact, expected

prepared_path = artifact("onnx/ptq_static/prepared.onnx")
path = artifact("onnx/ptq_static_errors/int8.onnx")
images = fashion_mnist("train")[0][:250]


class Reader(CalibrationDataReader):
    def __init__(self):
        self.batches = iter(np.split(images, [100, 200]))  # 100, 100 and 50 images

    def get_next(self):
        batch = next(self.batches, None)
        return None if batch is None else {"images": batch}


# %% uneven_batches
with expected(ValueError, "inhomogeneous shape"), redirect_stdout(StringIO()):
    quantize_static(prepared_path, path, Reader(), calibrate_method=CalibrationMethod.Entropy)

# %% minmax_is_fine
quantize_static(prepared_path, path, Reader(), calibrate_method=CalibrationMethod.MinMax)

# %% warnings
messages = []
handler = logging.Handler()
handler.emit = lambda entry: messages.append(entry.getMessage())
root = logging.getLogger()
kept, root.handlers = root.handlers, [handler]  # nothing to stderr: it is shown here
float_path = artifact("conversion/pytorch_float_to_onnx_float/running_example.onnx")
quantize_static(float_path, path, Reader())
quantize_static(prepared_path, path, Reader(), quant_format=QuantFormat.QOperator)
root.handlers = kept
print(messages[0].partition(" Refer")[0])
print(messages[-1])
assert "pre-processing" in messages[0] and "QuantFormat.QDQ" in messages[-1]
