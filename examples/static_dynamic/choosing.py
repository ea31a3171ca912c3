"""A network of Linear layers: dynamic and weight-only.

The sentence encoder MiniLM, of BERT's structure, on news texts whose similarity people have rated:
the metric, the size of the file and the latency of one text.
Source: torch.ao.quantization.quantize_dynamic; Int8WeightOnlyConfig of torchao.
"""

# %% load
import copy
import logging
import warnings
from functools import partial

import torch
from torch import nn

from handbook.text import documents, embed, load_sentence_encoder, score_embeddings, tokenize

# Two deprecation notices, explained on the page of dynamic quantization in eager mode.
warnings.filterwarnings("ignore", "torch.ao.quantization is deprecated")
warnings.filterwarnings("ignore", "torch.quantize_per_tensor, torch.quantize_per_channel")
logging.disable(logging.WARNING)  # torchao mentions the GPU kernels that it does not find
torch.backends.quantized.engine = "x86"
encoder = load_sentence_encoder()
texts, _ = documents()

# %% dynamic
from torch.ao.quantization import per_channel_dynamic_qconfig, quantize_dynamic

dynamic = quantize_dynamic(encoder, {nn.Linear: per_channel_dynamic_qconfig})

# %% weight_only
from torchao.quantization import Int8WeightOnlyConfig, quantize_

weight_only = copy.deepcopy(encoder)
quantize_(weight_only, Int8WeightOnlyConfig())

# %% results
from handbook.measure import file_size_kib, has_int8_dot_product, latency, speedup
from handbook.record import TIMING, artifact, table
from handbook.text import TEXT_TOLERANCE

encoders = {"float32": encoder, "dynamic": dynamic, "weight-only": weight_only}
float_vectors = embed(encoder, texts)
tokens = tokenize([texts[0]])
with torch.inference_mode():
    times = latency({name: partial(m, *tokens) for name, m in encoders.items()}, rounds=20)
rows = []
for name, m in encoders.items():
    path = artifact(f"static_dynamic/choosing/{name}.pt")
    torch.save(m.layers.state_dict(), path)  # without the table of words, which stays in float
    row = {"encoder": name} | score_embeddings(embed(m, texts), float_vectors)
    row["layers, KiB"] = round(file_size_kib(path))
    row["median ms"] = round(times[name].median_ms, 1)
    rows.append(row | {"times as fast": speedup(times["float32"], times[name])})
tolerance = TEXT_TOLERANCE["tolerance"] | {"median ms": TIMING, "times as fast": TIMING}
tolerance["layers, KiB"] = 20
table("encoder", rows, tolerance=tolerance, because=TEXT_TOLERANCE["because"])
assert all(row["layers, KiB"] < rows[0]["layers, KiB"] / 3 for row in rows[1:])
assert all(abs(row["correlation with people"] - 0.65) < 0.03 for row in rows)
if has_int8_dot_product():  # weight-only computes in float
    assert rows[1]["times as fast"] > 1.1 * rows[2]["times as fast"]
