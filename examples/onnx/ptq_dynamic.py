"""ONNX Runtime: dynamic quantization of a sentence encoder.

All-MiniLM-L6-v2 reads 50 news texts; people have rated how similar each pair is. float32, and four
schemes of int8: the metric, agreement, size, latency, and the products that run in integers.
Source: onnxruntime.quantization.quantize_dynamic.
"""

# %% load
import logging
import warnings

import numpy as np
import onnx
import onnxruntime
import torch

from handbook.record import artifact
from handbook.text import documents, load_sentence_encoder, tokenize

logging.disable(logging.WARNING)  # advice of the quantizer
warnings.simplefilter("ignore")  # of the exporter, about names of axes
onnxruntime.set_default_logger_severity(3)  # it reports that it saves an optimized graph

texts, ratings = documents()
feeds = [{"ids": i.numpy(), "mask": m.numpy()} for i, m in (tokenize([text]) for text in texts)]

# %% export
exported = artifact("onnx/ptq_dynamic/exported.onnx")
any_size = {0: torch.export.Dim("batch"), 1: torch.export.Dim("length", max=512)}
torch.onnx.export(
    load_sentence_encoder(),
    tokenize(texts[:2]),  # tokens and mask
    exported,
    input_names=["ids", "mask"],
    output_names=["vectors"],
    dynamic_shapes=(any_size, any_size),
    external_data=False,
    verbose=False,
)

# %% prepare
from onnxruntime.quantization.shape_inference import quant_pre_process

prepared = artifact("onnx/ptq_dynamic/prepared.onnx")
quant_pre_process(exported, prepared, skip_symbolic_shape=True)

# %% quantize
from onnxruntime.quantization import quantize_dynamic

SCHEMES = {
    "int8": {},  # the defaults: QInt8 weights, one scale for each
    "int8, per channel": {"per_channel": True},
    "int8, words in float": {"per_channel": True, "op_types_to_quantize": ["MatMul"]},
    "7-bit weights, per channel": {"per_channel": True, "reduce_range": True},
}
paths = {"float32": prepared}
for name, scheme in SCHEMES.items():
    paths[name] = artifact(f"onnx/ptq_dynamic/{name.replace(', ', '-').replace(' ', '_')}.onnx")
    quantize_dynamic(prepared, paths[name], **scheme)

# %% nodes
operators = [node.op_type for node in onnx.load(paths["int8, per channel"]).graph.node]
for operator in ("DynamicQuantizeLinear", "MatMulInteger", "MatMul"):
    print(operator, operators.count(operator))


# %% run
def load(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options)


sessions = {name: load(path) for name, path in paths.items()}
vectors = {n: np.concatenate([s.run(None, f)[0] for f in feeds]) for n, s in sessions.items()}

# %% results
from functools import partial

from handbook.measure import file_size_kib, has_int8_dot_product, latency, speedup
from handbook.onnx_kinds import onnx_kinds
from handbook.record import TIMING, table
from handbook.text import TEXT_TOLERANCE, score_embeddings

times = latency({n: partial(s.run, None, feeds[0]) for n, s in sessions.items()}, rounds=20)
rows = []
for name, path in paths.items():
    kinds = onnx_kinds(path, feeds[0], dynamic=True)  # of the products, in the optimized graph
    row = {"encoder": name} | score_embeddings(vectors[name], vectors["float32"])
    row |= {"int8 products": kinds.count("int8"), "float products": kinds.count("float")}
    row |= {"size MiB": round(file_size_kib(path) / 1024)}
    rows.append(row | {"times as fast": speedup(times["float32"], times[name])})
wide = TEXT_TOLERANCE["tolerance"] | {"times as fast": TIMING}
table("results", rows, tolerance=wide, because=TEXT_TOLERANCE["because"])
float32, by_tensor, by_channel, *_ = rows
assert by_channel["mean cosine to float"] > by_tensor["mean cosine to float"]
assert abs(by_channel["correlation with people"] - float32["correlation with people"]) < 0.03
assert by_channel["int8 products"] == 36 and float32["size MiB"] > 3.8 * by_channel["size MiB"]
assert by_channel["times as fast"] > 1.1 or not has_int8_dot_product()
