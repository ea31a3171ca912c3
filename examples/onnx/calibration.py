"""Calibration methods in ONNX Runtime: what each does to one network.

Minimum and maximum, percentile, entropy and distribution, with the range that each records for the
output of a ReLU. Entropy's default finds nothing; symmetric ranges switch every ReLU off.
Source: onnxruntime.quantization.calibrate; QDQRemovableActivation of its quantizer.
"""

# %% load
from contextlib import redirect_stdout
from io import StringIO

import onnx
from onnxruntime.quantization import CalibrationMethod as Method
from onnxruntime.quantization import QuantType, quantize_static
from onnxruntime.quantization.calibrate import (
    create_calibrator,
    load_tensors_data,
    save_tensors_data,
)

from handbook.data import fashion_mnist
from handbook.onnx_session import CalibrationImages, predict_onnx
from handbook.record import artifact

prepared_path = artifact("onnx/ptq_static/prepared.onnx")
test_images, labels = fashion_mnist("test")
ranges_path = artifact("onnx/calibration/ranges.json")
ranges_path.unlink(missing_ok=True)


# %% entropy
def entropy(num_bins):
    """Leave the ranges in a file: quantize_static has no option for the number of bins."""
    augmented_path = artifact("onnx/calibration/augmented.onnx")
    options = {"num_bins": num_bins}
    calibrator = create_calibrator(
        prepared_path, None, augmented_path, Method.Entropy, extra_options=options
    )
    calibrator.collect_data(CalibrationImages())
    save_tensors_data(calibrator.compute_data(), ranges_path)


# %% quantize
relu = [node.output[0] for node in onnx.load(prepared_path).graph.node if node.op_type == "Relu"][5]


def quantize(method, **extra_options):
    """The logits of the quantized model, and the range of a ReLU's output."""
    path = artifact("onnx/calibration/int8.onnx")
    quantize_static(
        prepared_path,
        path,
        CalibrationImages(),
        activation_type=QuantType.QUInt8,
        per_channel=True,
        calibrate_method=method,
        calibration_cache_path=ranges_path,  # read if it is there, and written if not
        extra_options=extra_options,
    )
    ranges = load_tensors_data(ranges_path)
    ranges_path.unlink()
    logits = predict_onnx(path, test_images, x64quantprecision="1")
    return logits, [float(bound.item()) for bound in ranges[relu].range_value]


with redirect_stdout(StringIO()):  # progress
    runs = {
        "MinMax, the default": quantize(Method.MinMax),
        "MinMax, CalibMovingAverage": quantize(Method.MinMax, CalibMovingAverage=True),
        "Percentile, default 99.999": quantize(Method.Percentile),
        "Percentile, 99.9": quantize(Method.Percentile, CalibPercentile=99.9),
        "Entropy, default 128 bins": quantize(Method.Entropy),
        "Entropy, 1024 bins": (entropy(1024), quantize(Method.Entropy))[1],
        "Distribution": quantize(Method.Distribution),
        "MinMax, CalibTensorRangeSymmetric": quantize(
            Method.MinMax, CalibTensorRangeSymmetric=True
        ),
        "the same, QDQKeepRemovableActivations": quantize(
            Method.MinMax, CalibTensorRangeSymmetric=True, QDQKeepRemovableActivations=True
        ),
    }

# %% results
from handbook.measure import SCORE_TOLERANCE, score
from handbook.record import table

float_logits = predict_onnx(prepared_path, test_images)
rows = [{"method": "float32", "from": "", "to": ""} | score(float_logits, labels, float_logits)]
for name, (logits, (low, high)) in runs.items():
    row = {"method": name, "from": round(low, 2), "to": round(high, 2)}
    rows.append(row | score(logits, labels, float_logits))
tolerance = SCORE_TOLERANCE["tolerance"] | {"from": 0.5, "to": 0.5}
table("results", rows, tolerance=tolerance, because="float32 sums move candidates and ties")
assert (runs["Entropy, default 128 bins"][0] == runs["MinMax, the default"][0]).all()
accuracy = {row["method"]: row["accuracy %"] for row in rows}
assert accuracy["Entropy, 1024 bins"] < accuracy["float32"] - 0.5
assert max(accuracy["Distribution"], accuracy["MinMax, CalibTensorRangeSymmetric"]) < 20
assert accuracy["the same, QDQKeepRemovableActivations"] > accuracy["float32"] - 1
