"""Saturating sums on an x86 CPU without VNNI, and what 7-bit weights (reduce_range) change.

ONNX Runtime cannot be told to use an older CPU's kernels. So NumPy does the sums as they do, two
products at a time, clamped to 16 bits; all the rest of the network runs in ONNX Runtime.
Source: handbook/without_vnni.py; kOrtSessionOptionsAvx2PrecisionMode of ONNX Runtime.
"""

# %% load
import numpy as np
import onnx
import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

from handbook.data import fashion_mnist
from handbook.record import artifact, table
from handbook.without_vnni import run_without_vnni

prepared_path = artifact("onnx/ptq_static/prepared.onnx")
calibration_images = fashion_mnist("train")[0][:1000]
test_images, labels = (each[:2000] for each in fashion_mnist("test"))


# %% quantize
class Reader(CalibrationDataReader):
    def __init__(self):
        self.batches = iter(np.split(calibration_images, 10))

    def get_next(self):
        batch = next(self.batches, None)
        return None if batch is None else {"images": batch}


def quantize(name, **options):
    path = artifact(f"onnx/no_vnni/{name}.onnx")
    types = {"activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8}
    quantize_static(prepared_path, path, Reader(), per_channel=True, **types | options)
    return path


paths = {"8-bit weights": quantize("8-bit"), "7-bit weights": quantize("7-bit", reduce_range=True)}

# %% bounds
for name, path in paths.items():
    weights = [w for w in onnx.load(path).graph.initializer if w.name.endswith("weight_quantized")]
    largest = max(abs(onnx.numpy_helper.to_array(w).astype(int)).max() for w in weights)
    two = 2 * 255 * largest  # the largest sum of two products
    print(f"{name} up to {largest}: {two}", "saturates" if two > 2**15 - 1 else "fits in 16 bits")

# %% results
from handbook.measure import SCORE_TOLERANCE, score


def run(path):
    return onnxruntime.InferenceSession(path).run(None, {"images": test_images})[0]


float_logits, rows = run(prepared_path), []
for name, path in paths.items():
    exact, saturated = (run_without_vnni(path, test_images, flag) for flag in (False, True))
    for cpu, logits in {"with VNNI": exact, "without": saturated}.items():
        row = {"model": name, "CPU": cpu} | score(logits, labels, float_logits)
        rows.append(row | {"answers changed": int((logits.argmax(1) != exact.argmax(1)).sum())})
    of_this_cpu = run(path)  # to the bit one of the two
    assert any((of_this_cpu == simulated).all() for simulated in (exact, saturated))
    assert name == "8-bit weights" or (saturated == exact).all()
wide = dict.fromkeys(SCORE_TOLERANCE["tolerance"], 2) | {"answers changed": 40}
table("results", rows, tolerance=wide, because=SCORE_TOLERANCE["because"])
assert rows[1]["same answer as float %"] < rows[0]["same answer as float %"] - 1
