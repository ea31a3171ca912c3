"""8-bit floats in ONNX Runtime: why they give chance, and the two switches that help.

The quantizer and the runtime each drop the ReLUs, as if an 8-bit float had no negative values.
Source: onnxruntime.quantization; issue 9425 of microsoft/onnxruntime, the same fault with int8.
"""

# %% load
import contextlib
import io
import logging

import numpy as np
import onnx
import onnxruntime
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantType,
    quantize_static,
)

from handbook.data import fashion_mnist
from handbook.record import artifact, expected, table

logging.getLogger().setLevel(logging.ERROR)
images, labels = fashion_mnist("test")
calibration_images = fashion_mnist("train")[0][:1000]
float_path = artifact("conversion/pytorch_float_to_onnx_float/running_example.onnx")
path = artifact("affine/float8_onnx/float8.onnx")


class Reader(CalibrationDataReader):
    def __init__(self):
        self.batches = iter(np.split(calibration_images, 10))

    def get_next(self):
        batch = next(self.batches, None)
        return None if batch is None else {"images": batch}


# %% quantize
def quantize(**options):
    with contextlib.redirect_stdout(io.StringIO()):  # it tells what it collects
        quantize_static(
            float_path,
            path,
            Reader(),
            per_channel=True,
            activation_type=QuantType.QFLOAT8E4M3FN,
            weight_type=QuantType.QFLOAT8E4M3FN,
            **options,
        )


# %% calibration
with expected(ValueError, "Only Distribution calibration method is supported"):
    quantize()


# %% run
def run(disabled_optimizers=()):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(artifact("affine/float8_onnx/optimized.onnx"))
    session = onnxruntime.InferenceSession(path, options, disabled_optimizers=disabled_optimizers)
    nodes = onnx.load(options.optimized_model_filepath).graph.node
    in_file = onnx.load(path).graph.node
    relus = [sum(node.op_type == "Relu" for node in graph) for graph in (in_file, nodes)]
    return session.run(None, {"images": images})[0], *relus


# %% results
from handbook.measure import SCORE_TOLERANCE, score

options = onnxruntime.SessionOptions()
float_session = onnxruntime.InferenceSession(float_path, options)
(float_logits,) = float_session.run(None, {"images": images})
rows = []
for symmetric in (False, True):
    quantize(
        calibrate_method=CalibrationMethod.Distribution,
        extra_options={"ActivationSymmetric": symmetric},
    )
    for disabled in ([], ["ReluQuantRewrite"])[: 1 + symmetric]:
        logits, in_file, left = run(disabled)
        row = {"ActivationSymmetric": symmetric, "disabled_optimizers": " ".join(disabled)}
        row |= {"ReLUs in the file": in_file, "ReLUs that run": left}
        rows.append(row | score(logits, labels, float_logits))
table("results", rows, **SCORE_TOLERANCE)
assert [row["ReLUs in the file"] for row in rows] == [0, 9, 9]
assert [row["ReLUs that run"] for row in rows] == [0, 0, 9]
assert rows[0]["accuracy %"] < 20 and rows[1]["accuracy %"] < 20 < 85 < rows[2]["accuracy %"]
