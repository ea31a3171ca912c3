"""Eager mode: dynamic quantization of a sentence encoder.

All-MiniLM-L6-v2 reads 50 news texts; people have rated how similar each pair is. float32, int8 with
one scale for each weight or for each of its rows, float16: the metric, agreement and size.
Source: torch.ao.quantization.quantize_dynamic of PyTorch 2.13.
"""

# %% load
import warnings

import torch
from torch import nn
from torch.ao.quantization import per_channel_dynamic_qconfig, quantize_dynamic

from handbook.text import documents, embed, load_sentence_encoder, score_embeddings

# Three deprecation notices, which the page explains.
warnings.filterwarnings("ignore", "torch.ao.quantization is deprecated")
warnings.filterwarnings("ignore", "torch.quantize_per_tensor, torch.quantize_per_channel")
warnings.filterwarnings("ignore", "TypedStorage is deprecated")

torch.backends.quantized.engine = "x86"  # PyTorch's default on such a CPU
model = load_sentence_encoder()  # in eval mode
texts, ratings = documents()
float_vectors = embed(model, texts)

# %% quantize
quantized = quantize_dynamic(model, {nn.Linear: per_channel_dynamic_qconfig})
print(quantized.layers[0])

# %% parameters
query = quantized.layers[0].query
weight = query.weight()
print(weight.dtype, "with scales", weight.q_per_channel_scales()[:3])
assert weight.q_per_channel_axis() == 0 and not weight.q_per_channel_zero_points().any()

# %% variants
from torch.ao.quantization import float_qparams_weight_only_qconfig

with_embedding = {
    nn.Linear: per_channel_dynamic_qconfig,
    nn.Embedding: float_qparams_weight_only_qconfig,  # unsigned 8 bits, a scale for each word
}
variants = {
    "float32": model,
    "int8": quantize_dynamic(model, {nn.Linear}),
    "int8, per channel": quantized,
    "int8, per channel, embedding too": quantize_dynamic(model, with_embedding),
    "float16": quantize_dynamic(model, {nn.Linear}, dtype=torch.float16),
}

# %% results
from handbook.measure import file_size_kib
from handbook.record import artifact, table
from handbook.text import TEXT_TOLERANCE

rows = []
for name, variant in variants.items():
    path = artifact(f"pytorch/eager/ptq_dynamic/{name.replace(', ', '-')}.pt")
    torch.save(variant.state_dict(), path)
    row = {"encoder": name} | score_embeddings(embed(variant, texts), float_vectors)
    rows.append(row | {"size MiB": round(file_size_kib(path) / 1024)})
table("results", rows, **TEXT_TOLERANCE)
by_tensor, by_channel, smallest, half = rows[1:]
assert by_channel["mean cosine to float"] > by_tensor["mean cosine to float"] + 0.02
assert abs(by_channel["correlation with people"] - rows[0]["correlation with people"]) < 0.02
assert half["size MiB"] == rows[0]["size MiB"]  # kept as float32: the file is no smaller
assert 3.5 < rows[0]["size MiB"] / smallest["size MiB"] < 4

# %% save
from handbook.text import SentenceEncoder

saved = artifact("pytorch/eager/ptq_dynamic/encoder.pt")
torch.save(quantized.state_dict(), saved)

empty = SentenceEncoder().eval()  # random weights; it gives the structure
loaded = quantize_dynamic(empty, {nn.Linear})  # the packed weights bring their own scales
print(loaded.load_state_dict(torch.load(saved, weights_only=True)))
assert (embed(loaded, texts[:5]) == embed(quantized, texts[:5])).all()
