"""Eager mode: dynamic quantization with each engine.

The sentence encoder with the kernels of x86 (FBGEMM), oneDNN and QNNPACK: agreement with float, and
latency for texts of 16 and 128 tokens.
Source: torch.backends.quantized.engine of PyTorch 2.13.
"""

# %% load
import os

os.environ["TORCH_CPP_LOG_LEVEL"] = "ERROR"  # QNNPACK warns that it ignores reduce_range

import warnings
from functools import partial

import torch
from torch import nn
from torch.ao.quantization import per_channel_dynamic_qconfig, quantize_dynamic

from handbook.text import documents, embed, load_sentence_encoder, score_embeddings

warnings.simplefilter("ignore")  # the deprecation notices that ptq_dynamic.py names
torch.set_num_threads(1)
model = load_sentence_encoder()
texts, _ = documents()
float_vectors = embed(model, texts)

# %% engines
encoders = {"float32": model}
for engine in ("x86", "onednn", "qnnpack"):
    torch.backends.quantized.engine = engine  # it packs the weights, and so decides the kernel
    encoders[engine] = quantize_dynamic(model, {nn.Linear: per_channel_dynamic_qconfig})

# %% results
from handbook.record import table
from handbook.text import TEXT_TOLERANCE

rows = [
    {"engine": engine} | score_embeddings(embed(encoder, texts), float_vectors)
    for engine, encoder in encoders.items()
]
table("results", rows, **TEXT_TOLERANCE)
assert all(row["mean cosine to float"] > 0.95 for row in rows)
assert rows[3]["mean cosine to float"] > rows[1]["mean cosine to float"]  # 8 bits, not 7

# %% float16
torch.backends.quantized.engine = "x86"
encoders["x86, float16"] = quantize_dynamic(model, {nn.Linear}, dtype=torch.float16)

# %% latency
from handbook.measure import has_int8_dot_product, latency, speedup
from handbook.record import TIMING

ids = torch.arange(1000, 1128)[None]
rows = []
for count in (16, 128):
    tokens = ids[:, :count], torch.ones(1, count, dtype=torch.int64)
    with torch.inference_mode():
        times = latency({name: partial(m, *tokens) for name, m in encoders.items()}, rounds=15)
    for name, time in times.items():
        row = {"tokens": count, "engine": name, "median ms": round(time.median_ms, 1)}
        rows.append(row | {"times as fast as float32": speedup(times["float32"], time)})
table("latency", rows, tolerance={"median ms": TIMING, "times as fast as float32": TIMING})
if has_int8_dot_product():
    x86 = [row["times as fast as float32"] for row in rows if row["engine"] == "x86"]
    assert min(x86) > 1.2
