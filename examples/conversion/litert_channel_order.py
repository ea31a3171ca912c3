"""LiteRT Torch: what the order of channels costs.

Layers of the running example between 16 and 64 channels, converted as they are and with
to_channel_last_io; the transpositions in the file, and the latency in float and in int8.
Source: docs/pytorch_converter/README.md of LiteRT Torch (formerly ai_edge_torch), 0.10.
"""

# %% load
import logging
from collections import Counter

import torch
from ai_edge_litert.interpreter import Interpreter

from handbook.data import fashion_mnist
from handbook.record import artifact
from handbook.running_example import load_running_example
from handbook.tflite import quiet

logging.disable(logging.WARNING)  # torchao mentions the GPU kernels that it does not find
with quiet():  # they import TensorFlow
    from ai_edge_quantizer import quantizer, recipe

    from handbook.litert import litert_torch

torch.set_num_threads(1)
model = load_running_example()
layers = torch.nn.Sequential(model.separable1, model.separable2, model.inverted).eval()
with torch.no_grad():
    features = model.stem(torch.from_numpy(fashion_mnist("train")[0][:50].copy()))
channels_last = features.permute(0, 2, 3, 1).contiguous()

# %% convert
nhwc = litert_torch.to_channel_last_io(layers, args=[0], outputs=[0])  # positions, both ways
models = {"NCHW": (layers, features), "NHWC": (nhwc, channels_last)}
paths = {}
for order, (module, inputs) in models.items():
    path = paths[order, "float32"] = artifact(f"conversion/litert_channel_order/{order}.tflite")
    path_int8 = paths[order, "int8"] = path.with_name(f"{order}-int8.tflite")
    with quiet():
        litert_torch.convert(module, (inputs[:1],)).export(str(path))
        [(signature, names)] = Interpreter(str(path)).get_signature_list().items()
        data = {signature: [{names["inputs"][0]: x[None].numpy()} for x in inputs]}
        litert_quantizer = quantizer.Quantizer(str(path), recipe.static_wi8_ai8())
        calibrated = litert_quantizer.calibrate(data, num_threads=1)
        litert_quantizer.quantize(calibrated).export_model(str(path_int8), overwrite=True)

# %% results
from handbook.measure import latency, speedup
from handbook.record import TIMING, record, table
from handbook.tflite_operators import Runner, tflite_operators

calls = {}
for (order, dtype), path in paths.items():
    runner = Runner(path)
    inputs = runner.quantize(models[order][1][:1].numpy())
    calls[order, dtype] = lambda runner=runner, inputs=inputs: runner.raw(inputs)
times = latency(calls, rounds=300)
rows = []
for (order, dtype), path in paths.items():
    counts = Counter(operator.name for operator in tflite_operators(path))
    row = {"order": order, "type": dtype, "operators": sum(counts.values())}
    row["transpositions"] = counts["TRANSPOSE"]
    rows.append(row | {"median us": round(1000 * times[order, dtype].median_ms, 1)})
table("results", rows, tolerance={"median us": TIMING})
slower = {t: speedup(times["NCHW", t], times["NHWC", t]) for t in ("float32", "int8")}
record(slower_float=slower["float32"], slower_int8=slower["int8"], tolerance=TIMING)
assert [row["transpositions"] for row in rows] == [2, 2, 0, 0]
