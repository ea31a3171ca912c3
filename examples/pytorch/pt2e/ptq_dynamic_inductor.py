"""PT2E: a dynamically quantized encoder, compiled for x86.

Inductor replaces quantize, dequantize and linear by one int8 kernel of oneDNN each, for texts of
any length: the proof from the generated code, the metric, and latency.
Source: torch._inductor of PyTorch 2.13, with freezing.
"""

# %% load
import logging
import re
import warnings
from collections import Counter
from functools import partial

import torch
from torch import nn

from handbook.measure import has_int8_dot_product, latency, speedup
from handbook.text import documents, embed, load_sentence_encoder, score_embeddings, tokenize

warnings.simplefilter("ignore")  # notices that the page lists
logging.disable(logging.WARNING)  # torchao mentions the GPU kernels that it does not find

from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

torch.set_num_threads(1)
model = load_sentence_encoder()
texts, _ = documents()
tokens = tokenize(texts[:1])

# %% quantize
length = torch.export.Dim("length", min=2, max=256)
exported = torch.export.export(model, tokens, dynamic_shapes=({1: length}, {1: length}))
config = x86.get_default_x86_inductor_quantization_config(
    is_dynamic=True,
    reduce_range=not has_int8_dot_product(),  # 8 bits overflow on CPUs without VNNI
)
quantizer = x86.X86InductorQuantizer().set_global(config)
prepared = prepare_pt2e(exported.module(), quantizer)
prepared(*tokens)
quantized = convert_pt2e(prepared)

# %% compile
from time import perf_counter

import torch._inductor.config
from torch._inductor.utils import run_and_get_code

from handbook.record import TIMING, record, table

torch._inductor.config.freezing = True  # weights become constants; without it, nothing fuses
compiled = torch.compile(quantized, dynamic=True)
start = perf_counter()
with torch.no_grad():  # freezing needs it
    _, sources = run_and_get_code(compiled, *tokens)
record(seconds=round(perf_counter() - start), tolerance=TIMING)

kernels = Counter(re.findall(r"torch\.ops\.onednn\.([\w.]+)", sources[0]))
print(kernels)
assert kernels == {"qlinear_pointwise.tensor": 24, "qlinear_pointwise.binary_tensor": 12}

# %% results
from handbook.text import TEXT_TOLERANCE

float_vectors = embed(model, texts)
vectors = {"converted": embed(quantized, texts), "compiled": embed(compiled, texts)}
rows = [
    {"int8 encoder": name}
    | score_embeddings(v, float_vectors)
    | {"mean cosine to converted": round(float((v * vectors["converted"]).sum(1).mean()), 3)}
    for name, v in vectors.items()
]
tolerance = TEXT_TOLERANCE["tolerance"] | {"same nearest document %": 15}
tolerance |= {"mean cosine to float": 0.03, "mean cosine to converted": 0.03}
table("results", rows, tolerance=tolerance, because="without VNNI, activations have 7 bits")
assert all(row["mean cosine to float"] > 0.97 for row in rows)

# %% latency
from torch.ao.quantization import per_channel_dynamic_qconfig, quantize_dynamic

torch.backends.quantized.engine = "x86"
encoders = {
    "float32, eager": model,
    "float32, compiled": torch.compile(model, dynamic=True),
    "int8, eager mode": quantize_dynamic(model, {nn.Linear: per_channel_dynamic_qconfig}),
    "int8, PT2E, compiled": compiled,
}
ids, rows = torch.arange(1000, 1128)[None], []
for count in (16, 128):
    tokens = ids[:, :count], torch.ones(1, count, dtype=torch.int64)
    with torch.no_grad():
        times = latency({name: partial(m, *tokens) for name, m in encoders.items()}, rounds=15)
    for name, time in times.items():
        row = {"tokens": count, "encoder": name, "median ms": round(time.median_ms, 1)}
        rows.append(row | {"times as fast as float32": speedup(times["float32, eager"], time)})
table("latency", rows, tolerance={"median ms": TIMING, "times as fast as float32": TIMING})
if has_int8_dot_product():
    assert rows[3]["times as fast as float32"] > 1.2 < rows[7]["times as fast as float32"]
