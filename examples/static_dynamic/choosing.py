"""A network of Linear layers: dynamic and weight-only.

An encoder of BERT's structure, with random weights: size and latency alone, no accuracy.
Source: torch.ao.quantization.quantize_dynamic; Int8WeightOnlyConfig of torchao.
"""

# %% load
import copy
import logging
import warnings
from functools import partial

import torch
from torch import nn

from handbook.record import artifact

warnings.simplefilter("ignore")  # deprecation notices, which another page explains
logging.disable(logging.WARNING)  # torchao mentions the GPU kernels that it does not find
torch.backends.quantized.engine = "x86"
torch.manual_seed(0)


# %% encoder
class Block(nn.Module):
    """A transformer's encoder layer, of Linear layers that the tools find."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.out = nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, x):
        parts = [layer(x) for layer in (self.query, self.key, self.value)]
        parts = [part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts]
        attended = nn.functional.scaled_dot_product_attention(*parts)
        x = self.norm1(x + self.out(attended.transpose(1, 2).flatten(2)))
        return self.norm2(x + self.down(nn.functional.gelu(self.up(x))))


encoder = nn.Sequential(*(Block(width=384, heads=12) for _ in range(6))).eval()
tokens = torch.randn(1, 64, 384)  # one text of 64 tokens

# %% dynamic
from torch.ao.quantization import quantize_dynamic

dynamic = quantize_dynamic(encoder, {nn.Linear})

# %% weight_only
from torchao.quantization import Int8WeightOnlyConfig, quantize_

weight_only = copy.deepcopy(encoder)
quantize_(weight_only, Int8WeightOnlyConfig())

# %% results
from handbook.measure import file_size_kib, has_int8_dot_product, latency, speedup
from handbook.record import TIMING, table

encoders = {"float32": encoder, "dynamic": dynamic, "weight-only": weight_only}
with torch.inference_mode():
    times = latency({name: partial(m, tokens) for name, m in encoders.items()}, rounds=20)
rows = []
for name, m in encoders.items():
    path = artifact(f"static_dynamic/choosing/{name}.pt")
    torch.save(m.state_dict(), path)
    row = {"encoder": name, "size KiB": round(file_size_kib(path))}
    row["median ms"] = round(times[name].median_ms, 1)
    rows.append(row | {"times as fast": speedup(times["float32"], times[name])})
tolerance = {"size KiB": 20, "median ms": TIMING, "times as fast": TIMING}
table("encoder", rows, tolerance=tolerance, because="the file's size depends on its name")
assert all(row["size KiB"] < rows[0]["size KiB"] / 3 for row in rows[1:])
if has_int8_dot_product():  # weight-only computes in float
    assert rows[1]["times as fast"] > 1.1 * rows[2]["times as fast"]
