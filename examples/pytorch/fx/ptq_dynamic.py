"""FX graph mode: dynamic quantization of a sentence encoder and of a recurrent network.

The same qconfigs as eager mode's quantize_dynamic, in a mapping: the result is eager's to the last
bit. And what only FX can do: quantize `functional.linear`.
Source: torch.ao.quantization.quantize_fx of PyTorch 2.13.
"""

# %% load
import copy
import warnings

import torch
from torch import nn
from torch.ao.quantization import (
    QConfigMapping,
    default_dynamic_qconfig,
    per_channel_dynamic_qconfig,
    quantize_dynamic,
)
from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

from handbook.text import documents, embed, load_sentence_encoder, score_embeddings, tokenize

# Notices of deprecation, and one of copying, which the page explains.
warnings.filterwarnings("ignore", "torch.ao.quantization is deprecated")
warnings.filterwarnings("ignore", "torch.quantize_per_tensor, torch.quantize_per_channel")
warnings.filterwarnings("ignore", "To copy construct from a tensor")

torch.set_num_threads(1)
torch.backends.quantized.engine = "x86"
model = load_sentence_encoder()
texts, _ = documents()

# %% quantize
qconfig_mapping = QConfigMapping().set_object_type(nn.Linear, per_channel_dynamic_qconfig)
prepared = prepare_fx(copy.deepcopy(model), qconfig_mapping, tokenize(texts[:1]))
quantized = convert_fx(prepared)  # no calibration: weights are all it needs
print(quantized.get_submodule("layers.0.query"))

# %% equals_eager
from handbook.record import record, table
from handbook.text import TEXT_TOLERANCE

eager = quantize_dynamic(model, {nn.Linear: per_channel_dynamic_qconfig})
float_vectors, fx_vectors, eager_vectors = (embed(m, texts) for m in (model, quantized, eager))
differing = int((fx_vectors != eager_vectors).sum())
record(differing=differing, compared=fx_vectors.size)
print("numbers that differ from eager:", differing, "of", fx_vectors.size)
assert differing == 0

rows = [
    {"encoder": name} | score_embeddings(vectors, float_vectors)
    for name, vectors in {"float32": float_vectors, "int8, FX": fx_vectors}.items()
]
table("results", rows, **TEXT_TOLERANCE)

# %% recurrent
from handbook.text import dictionary, load_pronouncer, pronounce, spell

pronouncer, words = load_pronouncer(), list(dictionary())
mapping = QConfigMapping()
for layer in (nn.GRU, nn.GRUCell, nn.Linear):
    mapping.set_object_type(layer, default_dynamic_qconfig)
prepared = prepare_fx(copy.deepcopy(pronouncer), mapping, spell(words[:1]))
answers = pronounce(convert_fx(prepared), words)
same = answers == pronounce(quantize_dynamic(pronouncer), words)
record(same=same, words=len(words))
print("the same answers as eager:", same)
assert same


# %% functional
class Hidden(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(64, 64))

    def forward(self, x):
        return nn.functional.linear(x, self.weight)


mapping = QConfigMapping().set_object_type(nn.functional.linear, default_dynamic_qconfig)
quantized = convert_fx(prepare_fx(Hidden().eval(), mapping, (torch.randn(1, 64),)))
print(quantized.code.strip())
assert "quantized.linear_dynamic" in quantized.code
