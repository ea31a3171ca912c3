"""Eager mode: dynamic quantization of a recurrent network.

Two GRUs turn the spelling of 2000 words into phonemes. int8 and float16: phoneme error rate,
agreement with float, size and latency, and what the other words of a batch do to an answer.
Source: torch.ao.quantization.quantize_dynamic of PyTorch 2.13.
"""

# %% load
import warnings
from functools import partial

import torch
from torch import nn
from torch.ao.quantization import per_channel_dynamic_qconfig, quantize_dynamic

from handbook.text import dictionary, load_pronouncer, pronounce, score_phonemes, spell

warnings.simplefilter("ignore")  # the deprecation notices that ptq_dynamic.py names
torch.set_num_threads(1)
torch.backends.quantized.engine = "x86"

model = load_pronouncer()
words = list(dictionary())
float_answers = pronounce(model, words)
print(words[1000], *float_answers[1000])

# %% quantize
layers = {nn.GRU, nn.GRUCell, nn.Linear}
quantized = quantize_dynamic(model, layers)
print(quantized)

# %% results
from handbook.measure import file_size_kib
from handbook.record import artifact, table
from handbook.text import PHONEME_TOLERANCE

variants = {
    "float32": model,
    "int8": quantized,
    "int8, per channel": quantize_dynamic(
        model, dict.fromkeys(layers, per_channel_dynamic_qconfig)
    ),
    "float16": quantize_dynamic(model, layers, dtype=torch.float16),
}
rows, answers = [], {}
for name, variant in variants.items():
    answers[name] = pronounce(variant, words, batch=500)
    path = artifact(f"pytorch/eager/ptq_dynamic_gru/{name.replace(', ', '-')}.pt")
    torch.save(variant.state_dict(), path)
    row = {"network": name} | score_phonemes(answers[name], float_answers)
    rows.append(row | {"size MiB": round(file_size_kib(path) / 1024, 1)})
table("results", rows, **PHONEME_TOLERANCE)
assert abs(rows[1]["phoneme errors %"] - rows[0]["phoneme errors %"]) < 0.5
assert rows[3]["same answer as float %"] > 99.5

# %% batch
from handbook.record import record

alone = pronounce(quantized, words, batch=1)
float_alone = pronounce(model, words, batch=1)
changed = [i for i, (a, b) in enumerate(zip(answers["int8"], alone, strict=True)) if a != b]
float_changed = sum(a != b for a, b in zip(float_answers, float_alone, strict=True))
PARTNERS = "a phoneme near a tie changes with the last bit of a scale"
record(changed=len(changed), float_changed=float_changed, tolerance=40, because=PARTNERS)
print("answers that the batch changes:", len(changed), "in int8,", float_changed, "in float")
assert float_changed < 5 < len(changed)
assert score_phonemes(alone, float_answers)["phoneme errors %"] < rows[1]["phoneme errors %"] + 0.5

# %% latency
from handbook.measure import has_int8_dot_product, latency, speedup
from handbook.record import TIMING

rows = []
for count in (1, 100):
    letters = spell(words[:count])
    with torch.inference_mode():
        times = latency({k: partial(v, *letters) for k, v in variants.items()}, rounds=15)
    for name, time in times.items():
        row = {"words at once": count, "network": name, "median ms": round(time.median_ms, 1)}
        rows.append(row | {"times as fast as float32": speedup(times["float32"], time)})
table("latency", rows, tolerance={"median ms": TIMING, "times as fast as float32": TIMING})
if has_int8_dot_product():
    assert rows[5]["times as fast as float32"] > 1.1  # int8, 100 words
