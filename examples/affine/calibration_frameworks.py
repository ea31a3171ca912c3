"""The frameworks' own calibrators, on the same activations.

The range that PyTorch and ONNX Runtime record for the input of one layer, from the same 500 images.
Source: torch.ao.quantization.observer and onnxruntime.quantization.calibrate.
"""

# %% observe
import json
import warnings

import numpy as np
import torch
from torch.fx.experimental.optimization import fuse

from handbook.data import fashion_mnist
from handbook.record import artifact
from handbook.running_example import load_running_example, predict

LAYER = "inverted.project.conv"  # its input is the output of a ReLU
model = fuse(load_running_example())
batches = []
model.get_submodule(LAYER).register_forward_pre_hook(lambda m, x: batches.append(x[0].numpy()))
for images in np.split(fashion_mnist("train")[0][:500], 10):
    predict(model, images)
ranges = json.loads(artifact("affine/calibration_methods/ranges.json").read_text())
ours = {key.split("/")[2]: layers[LAYER][1] for key, layers in ranges.items() if "clean/8" in key}

# %% pytorch
from torch.ao.quantization import HistogramObserver, MinMaxObserver, MovingAverageMinMaxObserver

for message in ("torch.ao.quantization is deprecated", "Please use quant_min and quant_max"):
    warnings.filterwarnings("ignore", message)
OBSERVERS = {
    "MinMaxObserver": MinMaxObserver(dtype=torch.quint8),
    "MovingAverageMinMaxObserver": MovingAverageMinMaxObserver(dtype=torch.quint8),
    "HistogramObserver": HistogramObserver(dtype=torch.quint8),
    "HistogramObserver, 4 bits": HistogramObserver(dtype=torch.quint8, quant_max=15, quant_min=0),
}
pytorch = {}
for name, observer in OBSERVERS.items():
    for batch in batches:
        observer(torch.from_numpy(batch))
    scale, zero_point = observer.calculate_qparams()
    pytorch[name] = scale.item() * (observer.quant_max - zero_point.item())
assert abs(pytorch["HistogramObserver, 4 bits"] - pytorch["HistogramObserver"]) < 0.01  # blind

# %% onnxruntime
from contextlib import redirect_stdout
from io import StringIO

import onnx
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, create_calibrator

RELU = """<ir_version: 10, opset_import: ["" : 21]>
    g (float[N, 128, 7, 7] x) => (float[N, 128, 7, 7] y) { y = Relu(x) }"""
path = artifact("affine/calibration_frameworks/relu.onnx")
onnx.save(onnx.parser.parse_model(RELU), path)


class Reader(CalibrationDataReader):
    def __init__(self):
        self.batches = iter([{"x": batch} for batch in batches])

    def get_next(self):
        return next(self.batches, None)


def onnxruntime(method, **options):
    augmented = path.with_name("augmented.onnx")
    calibrator = create_calibrator(path, None, augmented, method, extra_options=options)
    with redirect_stdout(StringIO()):  # it prints its settings
        calibrator.collect_data(Reader())
        return calibrator.compute_data()["y"].range_value[1].item()


# %% results
from handbook.record import table

MINMAX, ENTROPY, PERCENTILE = list(CalibrationMethod)[:3]
every, average = ours["minimum and maximum"], pytorch["MovingAverageMinMaxObserver"]
x, mean = np.concatenate(batches), np.mean([batch.max() for batch in batches])
ranges = {  # NumPy, PyTorch, ONNX Runtime
    "minimum and maximum": (every, pytorch["MinMaxObserver"], onnxruntime(MINMAX)),
    "moving average": (ours["moving average"], average, None),
    "mean of the batches' maxima": (mean, None, onnxruntime(MINMAX, moving_average=True)),
    "percentile 99.99": (ours["percentile 99.99"], None, onnxruntime(PERCENTILE, percentile=99.99)),
    "percentile 99.999": (np.percentile(x, 99.999), None, onnxruntime(PERCENTILE)),  # its default
    "entropy, 2048 bins": (ours["entropy"], None, onnxruntime(ENTROPY, num_bins=2048)),
    "entropy, 128 bins": (None, None, onnxruntime(ENTROPY)),  # its default
    "mean squared error": (ours["mean squared error"], pytorch["HistogramObserver"], None),
}
COLUMNS = ("NumPy", "PyTorch", "ONNX Runtime")
rows = []
for method, values in ranges.items():
    cells = ("-" if value is None else f"{value:.2f}" for value in values)
    rows.append({"method": method} | dict(zip(COLUMNS, cells, strict=True)))
table("ranges", rows, tolerance=dict.fromkeys(COLUMNS, 0.5), because="float32 sums move candidates")
for values in list(ranges.values())[:5]:  # nothing to search: all compute alike
    assert np.ptp([value for value in values if value is not None]) < 0.01
assert abs(ranges["entropy, 128 bins"][2] - every) < 0.01  # no threshold to choose from
