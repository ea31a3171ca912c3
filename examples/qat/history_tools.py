"""The tools for quantization aware training: when each came, and how long it lasted.

A dated list with a source for each entry, and a figure of the tools' lifetimes.
Source: release notes and repositories; each entry names its own.
"""

# %% tools
# when | what | source, and below it what changed
EVENTS = """
2018-03 | TensorFlow 1.7: `tf.contrib.quantize` | https://github.com/tensorflow/tensorflow/releases/tag/v1.7.0
    Rewrites a graph so that it trains with fake quantization, for TensorFlow Lite
2019-09 | TensorFlow 2.0: no `tf.contrib` | https://github.com/tensorflow/community/blob/master/rfcs/20180907-contrib-sunset.md
    For half a year, TensorFlow 2 has no quantization aware training
2019-10 | PyTorch 1.3: eager mode | https://github.com/pytorch/pytorch.github.io/blob/2a7eba1a6d5377aef0aa71c4a3667fcbd7c88231/_posts/2019-10-10-pytorch-1-dot-3-adds-mobile-privacy-quantization-and-named-tensors.md
    `prepare_qat` swaps modules; the user fuses them, and marks where int8 begins and ends
2020-04 | tfmot 0.3: `quantize_model` | https://github.com/tensorflow/model-optimization/tree/v0.3.0
    Quantization aware training for Keras models
2021-03 | PyTorch 1.8: FX graph mode | https://github.com/pytorch/pytorch.github.io/blob/43e54391be570805131ba3427faa4ccede2fdd13/_posts/2021-3-4-pytorch-1.8-released.md
    `prepare_qat_fx` traces the model, and does both by itself
2023-10 | PyTorch 2.1: PT2E | https://pytorch.org/blog/pytorch-2-1/
    `prepare_qat_pt2e` works on what `torch.export` captures, and asks a backend's *quantizer*
2024-02 | tfmot 0.8: Keras 2 only | https://github.com/tensorflow/model-optimization/blob/v0.8.0/RELEASE.md
    Models of Keras 3 are refused, to this day
2024-07 | torchao: QAT of language models | https://github.com/pytorch/pytorch.github.io/blob/f270c51009bdd48926c088ed3a4709b456fc9d2a/_posts/2024-07-30-quantization-aware-training.md
    Linear layers with weights of 4 bits, one scale for each group
2025-05 | torchao 0.11: PT2E | https://github.com/pytorch/ao/tree/v0.11.0/torchao/quantization/pt2e
    A copy of PyTorch's; the original is deprecated, and so are eager mode and FX
2026-03 | PyTorch 2.11: no PT2E | https://github.com/pytorch/pytorch/pull/169151
    torchao's copy remains; eager mode and FX stay in PyTorch, still deprecated
"""

# %% table
import calendar
import re

from handbook.record import table

events = re.findall(r"(\d{4})-(\d\d) \| (.+) \| (https://\S+)\n {4}(\S.*)", EVENTS)
rows = [
    {
        "when": f"{calendar.month_abbr[int(month)]} {year}",
        "what": f"[{what}]({url})",
        "what changed": why,
    }
    for year, month, what, url, why in events
]
table("tools", rows)
assert events == sorted(events) and len(events) == EVENTS.count("https://")

# %% lifetimes
from handbook.figure import figure, plt

when = {what.partition(":")[0]: int(y) + (int(m) - 1) / 12 for y, m, what, *_ in events}
lifetimes = {  # from, deprecated, until
    "tf.contrib": ("TensorFlow 1.7", None, "TensorFlow 2.0"),
    "tfmot, Keras 2": ("tfmot 0.3", None, None),
    "PyTorch eager": ("PyTorch 1.3", "torchao 0.11", None),
    "PyTorch FX": ("PyTorch 1.8", "torchao 0.11", None),
    "PyTorch PT2E": ("PyTorch 2.1", "torchao 0.11", "PyTorch 2.11"),
    "torchao QAT": ("torchao", None, None),
    "torchao PT2E": ("torchao 0.11", None, None),
}
fig, ax = plt.subplots()
today = 2026.9
for row, (name, (start, deprecated, end)) in enumerate(lifetimes.items()):
    stop = when[end] if end else today
    middle = when[deprecated] if deprecated else stop
    ax.barh(name, middle - when[start], left=when[start], height=0.6, color="C0")
    ax.barh(name, stop - middle, left=middle, height=0.6, color="C0", alpha=0.35)
    assert when[start] < middle <= stop <= today
    if end:
        ax.plot(stop, row, "x", color="C3", markersize=8, markeredgewidth=2)
ax.invert_yaxis()
ax.set(xlim=(2017.5, today), xticks=[2018, 2020, 2022, 2024, 2026])
ax.grid(axis="y", visible=False)
figure("lifetimes", fig)
