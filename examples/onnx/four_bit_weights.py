"""ONNX Runtime: weights of 4 bits for a transformer, with MatMulNBits.

The sentence encoder's weights in blocks of 32, each with a scale of its own; activations stay
float.
Source: onnxruntime.quantization.matmul_nbits_quantizer.
"""

# %% load
import logging

import numpy as np
import onnx
import onnxruntime

from handbook.record import artifact
from handbook.text import documents, tokenize

logging.disable(logging.WARNING)  # what it quantizes and what not, node by node
onnxruntime.set_default_logger_severity(3)
prepared = artifact("onnx/ptq_dynamic/prepared.onnx")  # the encoder in float32
texts, ratings = documents()
feeds = [{"ids": i.numpy(), "mask": m.numpy()} for i, m in (tokenize([text]) for text in texts)]

# %% quantize
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

blocks = {"block_size": 32, "is_symmetric": True, "accuracy_level": 4}  # 4: sums of int8 products
words_too = {
    "op_types_to_quantize": ("MatMul", "Gather"),
    "quant_axes": (("MatMul", 0), ("Gather", 1)),
}
SCHEMES = {
    "4 bits": {"bits": 4} | blocks,
    "4 bits, blocks of 128": {"bits": 4} | blocks | {"block_size": 128},
    "4 bits, words too": {"bits": 4} | blocks | words_too | {"is_symmetric": False},
    "8 bits": {"bits": 8} | blocks,
}
paths = {"float32": prepared, "int8, dynamic": artifact("onnx/ptq_dynamic/int8-per_channel.onnx")}
for name, scheme in SCHEMES.items():
    paths[name] = artifact(
        f"onnx/four_bit_weights/{name.replace(', ', '-').replace(' ', '_')}.onnx"
    )
    quantizer = MatMulNBitsQuantizer(onnx.load(prepared), **scheme)
    quantizer.process()
    quantizer.model.save_model_to_file(str(paths[name]))


# %% run
def load(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options)


sessions = {name: load(path) for name, path in paths.items()}
vectors = {n: np.concatenate([s.run(None, f)[0] for f in feeds]) for n, s in sessions.items()}

# %% results
from functools import partial

from handbook.measure import file_size_kib, latency, speedup
from handbook.record import TIMING, table
from handbook.text import TEXT_TOLERANCE, score_embeddings

times = latency({n: partial(s.run, None, feeds[0]) for n, s in sessions.items()}, rounds=15)
rows = []
for name, path in paths.items():
    operators = [node.op_type for node in onnx.load(path).graph.node]
    row = {"encoder": name} | score_embeddings(vectors[name], vectors["float32"])
    row |= {"size MiB": round(file_size_kib(path) / 1024)}
    row |= {"MatMulNBits": operators.count("MatMulNBits")}
    rows.append(row | {"times as fast": speedup(times["float32"], times[name])})
wide = TEXT_TOLERANCE["tolerance"] | {"times as fast": TIMING}
table("results", rows, tolerance=wide, because=TEXT_TOLERANCE["because"])
by = {row["encoder"]: row for row in rows}
assert by["8 bits"]["mean cosine to float"] > 0.999 > by["4 bits"]["mean cosine to float"]
assert by["4 bits, words too"]["size MiB"] < by["float32"]["size MiB"] / 6
assert by["4 bits"]["mean cosine to float"] > by["4 bits, blocks of 128"]["mean cosine to float"]
