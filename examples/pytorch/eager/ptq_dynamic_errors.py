"""Eager mode: what people stumble over with dynamic quantization.

Weights outside of Linear layers, names that match nothing, PyTorch's own transformer layers,
dtypes, engines, state dicts, and export.
Source: run with torch.ao.quantization of PyTorch 2.13.
"""

# %% load
import warnings

import torch
from torch import nn
from torch.ao.quantization import quantize_dynamic

from handbook.record import expected, record
from handbook.text import load_sentence_encoder

torch.backends.quantized.engine = "x86"

# %% warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    quantized = quantize_dynamic(load_sentence_encoder(), {nn.Linear})
texts = {f"{w.category.__name__}: {' '.join(str(w.message).split())}" for w in caught}
print(*sorted(texts), sep="\n")
assert any("torch.ao.quantization is deprecated" in text for text in texts)
warnings.simplefilter("ignore")


# %% hidden_weight
class Hidden(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(384, 384))

    def forward(self, x):
        return nn.functional.linear(x, self.weight)


both = nn.Sequential(Hidden(), nn.Conv1d(384, 384, 1))
print(quantize_dynamic(both, {nn.Linear, nn.Conv1d}))

# %% names
from torch.ao.nn.quantized import dynamic

by_type_name = quantize_dynamic(load_sentence_encoder(), {"Linear", "query"})
print(by_type_name.layers[0].query)
assert not any(isinstance(m, dynamic.Linear) for m in by_type_name.modules())
by_path = quantize_dynamic(load_sentence_encoder(), {"layers.0.query"})
print(by_path.layers[0].query)
assert sum(isinstance(m, dynamic.Linear) for m in by_path.modules()) == 1

# %% attention
attention = quantize_dynamic(nn.MultiheadAttention(384, 12, batch_first=True).eval())
print(attention)
assert not any(isinstance(m, dynamic.Linear) for m in attention.modules())

# %% transformer_layer
layer = nn.TransformerEncoderLayer(384, 12, 1536, batch_first=True).eval()
quantized_layer, x = quantize_dynamic(layer), torch.randn(1, 16, 384)
with torch.no_grad(), expected(AttributeError, "'function' object has no attribute 'device'"):
    quantized_layer(x)

# %% transformer_layer_cure
torch.backends.mha.set_fastpath_enabled(False)
with torch.no_grad():
    difference = ((quantized_layer(x) - layer(x)).norm() / layer(x).norm()).item()
torch.backends.mha.set_fastpath_enabled(True)
record(layer=round(100 * difference, 1), tolerance=2, because="random weights, other kernels")
assert difference < 0.1

# %% quantized_dtype
with expected(RuntimeError, "Unknown dtype specified for quantize_dynamic"):
    quantize_dynamic(load_sentence_encoder(), {nn.Linear}, dtype=torch.int8)  # it is torch.qint8

# %% input_dtype
with expected(RuntimeError, "expected scalar type Float but found BFloat16"):
    quantized.layers[0].query(torch.randn(1, 384, dtype=torch.bfloat16))

# %% float16_engine
torch.backends.quantized.engine = "onednn"
with expected(RuntimeError, "linear_prepack_fp16 is currently not supported by ONEDNN"):
    quantize_dynamic(load_sentence_encoder(), {nn.Linear}, dtype=torch.float16)
torch.backends.quantized.engine = "x86"

# %% state_dict
first = quantized.layers[0].query
with expected(RuntimeError, 'Missing key(s) in state_dict: "weight", "bias"'):
    nn.Linear(384, 384).load_state_dict(first.state_dict())
with expected(KeyError, "scale"):
    first.load_state_dict(nn.Linear(384, 384).state_dict())

# %% weight_is_a_method
with expected(AttributeError, "'function' object has no attribute 'shape'"):
    first.weight.shape  # noqa: B018
print(first.weight().shape)

# %% export
with expected(AttributeError, "does not have a field with name '__obj_flatten__'"):
    torch.export.export(first, (torch.randn(1, 384),))
