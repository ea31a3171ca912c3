"""PyTorch quantized to ONNX quantized: every way, compared.

Six files that other scripts exported, from eager mode, FX and PT2E: are the parameters those of
PyTorch, the outputs, the answers, on all 10 000 test images; how much runs in integers, how fast.
Source: torch.onnx.export, PyTorch 2.13; SessionOptions.optimized_model_filepath.
"""

# %% load
import logging

import onnxruntime

from handbook.data import fashion_mnist
from handbook.onnx_session import predict_onnx, session
from handbook.record import artifact

logging.disable(logging.WARNING)  # of torchao, on the GPU kernels that it does not find
onnxruntime.set_default_logger_severity(3)
test_images, labels = fashion_mnist("test")
float_path = artifact("conversion/pytorch_float_to_onnx_float/running_example.onnx")
pt2e_folder = artifact("conversion/pt2e_int8_to_onnx/x").parent
SHIFTED = "XNNPACKQuantizer, uint8, torch.onnx.export"
FILES = {  # (have, way): the file, beside which lie PyTorch's logits and parameters
    ("PyTorch eager, int8", "torch.onnx.export, dynamo=False"): artifact(
        "conversion/eager_int8_to_onnx/int8.onnx"
    ),
    ("PyTorch FX, int8", "torch.onnx.export, dynamo=False"): artifact(
        "conversion/fx_int8_to_onnx/int8.onnx"
    ),
    ("PyTorch FX, observed", "decomposed, torch.onnx.export"): artifact(
        "conversion/fx_int8_to_onnx/decomposed.onnx"
    ),
    ("PyTorch PT2E, int8", SHIFTED): pt2e_folder / "XNNPACKQuantizer-shifted_to_uint8.onnx",
    ("PyTorch PT2E, int8", "XNNPACKQuantizer, torch.onnx.export"): pt2e_folder
    / "XNNPACKQuantizer.onnx",
    ("PyTorch PT2E, int8", "X86InductorQuantizer, torch.onnx.export"): pt2e_folder
    / "X86InductorQuantizer.onnx",
}

# %% compare
from functools import partial

from handbook.conversions import conversions, parity
from handbook.measure import file_size_kib, has_int8_dot_product, latency, speedup
from handbook.onnx_kinds import onnx_kinds
from handbook.to_onnx import kept, onnx_parameters

feed, edges = {"images": test_images[:32]}, {}
calls = {path: partial(session(path).run, None, feed) for path in (float_path, *FILES.values())}
times = latency(calls, rounds=20)
for (have, way), path in FILES.items():
    source, scale, parameters = kept(path)
    found = onnx_parameters(path)
    exact = predict_onnx(path, test_images, x64quantprecision="1")  # without VNNI too
    row = parity(exact, source, labels, scale)
    row["equal parameters %"] = 100 * len(found & parameters) / len(found | parameters)
    kinds = onnx_kinds(path, feed, dynamic=False)  # of the nodes of the optimized graph
    row |= {"integer operators": kinds.count("int8"), "float operators": kinds.count("float")}
    row |= {"size KiB": file_size_kib(path), "speedup": speedup(times[float_path], times[path])}
    edges[have, "ONNX, int8", way] = row

# %% results
conversions(edges, because="ties between two kernels")

# %% summary
from handbook.record import TIMING, table

rows = []
for (have, _, way), row in edges.items():
    short = {"from": have, "way": way.replace("torch.onnx.export", "default exporter")}
    short["way"] = short["way"].replace("default exporter, dynamo=False", "dynamo=False")
    names = ("same answer %", "identical outputs %", "largest difference")
    short |= {name: row[name] for name in (*names, "float operators", "size KiB", "speedup")}
    rows.append(short)
wide = {"same answer %": 1, "identical outputs %": 5, "largest difference": 2}
wide |= {"size KiB": 2, "speedup": TIMING}
table("summary", rows, tolerance=wide, because="ties between two kernels")

# %% claims
for row in edges.values():
    assert row["equal parameters %"] == 100
    assert row["same answer %"] >= 99.5 and row["identical outputs %"] > 95
    is_float = row["float operators"] == 3  # X86InductorQuantizer leaves the logits in float
    assert is_float or row["largest difference"] in ("0 LSB", "1 LSB", "2 LSB")
by_way = {way: row for (_, _, way), row in edges.items()}
unfused, fused = by_way["XNNPACKQuantizer, torch.onnx.export"], by_way[SHIFTED]
assert fused["integer operators"] > unfused["integer operators"]
assert fused["speedup"] > unfused["speedup"]
assert fused["speedup"] > 1.1 or not has_int8_dot_product()
