"""Eager mode: what dynamic quantization costs each Linear layer.

Each of the encoder's 36 Linear layers gets its float input, and gives its output in int8: one
scale for the weight or one for each row, activations with 7 bits or 8.
Source: quantized::linear_dynamic of PyTorch 2.13, and its argument reduce_range.
"""

# %% load
import warnings

import torch
from torch import nn
from torch.ao.quantization import per_channel_dynamic_qconfig, quantize_dynamic

from handbook.text import documents, load_sentence_encoder, tokenize

warnings.simplefilter("ignore")  # the deprecation notices that ptq_dynamic.py names
torch.backends.quantized.engine = "x86"
model = load_sentence_encoder()
tokens = tokenize(documents()[0][:1])  # one text

# %% observe
kinds = ("query", "key", "value", "attention_output", "intermediate", "output")  # of a layer
linears = {name: m for name, m in model.named_modules() if isinstance(m, nn.Linear)}
seen = {}
for name, linear in linears.items():
    linear.register_forward_hook(lambda _, x, y, name=name: seen.update({name: (x[0], y)}))
with torch.no_grad():
    model(*tokens)
print(len(seen), "Linear layers have been seen")

# %% compare
by_tensor = quantize_dynamic(model, {nn.Linear})
by_channel = quantize_dynamic(model, {nn.Linear: per_channel_dynamic_qconfig})


def error(quantized, name, reduce_range):
    """The relative error of the output of one layer, in percent."""
    x, y = seen[name]
    packed = quantized.get_submodule(name)._packed_params._packed_params
    output = torch.ops.quantized.linear_dynamic(x, packed, reduce_range=reduce_range)
    return 100 * ((output - y).norm() / y.norm()).item()


errors = {
    "one scale, 7 bits": [error(by_tensor, name, True) for name in seen],
    "per row, 7 bits": [error(by_channel, name, True) for name in seen],
    "per row, 8 bits": [error(by_channel, name, False) for name in seen],
}

# %% errors
from handbook.figure import figure, plt

fig, ax = plt.subplots(figsize=(5.4, 3.6))
for (label, values), marker in zip(errors.items(), "so^", strict=True):
    ax.plot(range(1, 37), values, marker, label=label, markersize=4)
ax.set_xticks(range(6, 37, 6))
ax.set(
    xlabel="Linear layer; each sixth is an output layer",
    ylabel="error of its result, %",
    ylim=(0, None),
)
ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1))
figure("errors", fig)

# %% kinds
from handbook.measure import has_int8_dot_product
from handbook.record import table

weights = {name: linear.weight.detach().abs().amax(1) for name, linear in linears.items()}
rows = []
for index, kind in enumerate(kinds):
    mean = {f"{k}: error %": round(sum(v[index::6]) / 6, 1) for k, v in errors.items()}
    widest = [weights[name].max() / weights[name].median() for name in list(seen)[index::6]]
    row = {"layer": kind} | mean
    rows.append(row | {"widest row / median row": round(max(widest).item(), 1)})
columns = list(rows[0])
tolerance = dict.fromkeys(columns[1:3], 1) | {columns[3]: 50, columns[4]: 0.1}
table("kinds", rows, tolerance=tolerance, because="with 8 bits, sums saturate without VNNI")
_, one_scale, per_row, _, widest = rows[-1].values()
assert one_scale > 1.3 * per_row and widest > 10
if has_int8_dot_product():
    assert all(list(row.values())[3] < 0.7 * list(row.values())[2] for row in rows)
