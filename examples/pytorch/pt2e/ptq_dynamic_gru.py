"""PT2E: dynamic quantization of a recurrent network, step by step.

A step of the GRU, written with two Linear layers, is exported and quantized; the loop stays in
Python. The phoneme error rate, and agreement with float.
Source: torchao.quantization.pt2e of torchao 0.18.
"""

# %% load
import logging
import warnings

import torch
from torch import nn

from handbook.text import dictionary, load_pronouncer, pronounce, score_phonemes

warnings.simplefilter("ignore")  # notices that the page lists
logging.disable(logging.WARNING)  # torchao mentions the GPU kernels that it does not find

from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

torch.set_num_threads(1)
model = load_pronouncer()
words = list(dictionary())
float_answers = pronounce(model, words)


# %% step
class Step(nn.Module):
    """One step of a GRU, of Linear layers that quantizers find."""

    def __init__(self, embedding, gru, suffix="", classifier=None):
        super().__init__()
        self.embedding, self.classifier = embedding, classifier
        self.input, self.hidden = nn.Linear(256, 768), nn.Linear(256, 768)
        for layer, part in ((self.input, "ih"), (self.hidden, "hh")):
            layer.weight = getattr(gru, f"weight_{part}{suffix}")
            layer.bias = getattr(gru, f"bias_{part}{suffix}")

    def forward(self, symbol, state):
        r, z, n = self.input(self.embedding(symbol)).chunk(3, 1)
        state_r, state_z, state_n = self.hidden(state).chunk(3, 1)
        r, z = torch.sigmoid(r + state_r), torch.sigmoid(z + state_z)
        state = (1 - z) * torch.tanh(n + r * state_n) + z * state
        return (self.classifier(state).argmax(1) if self.classifier else symbol), state


def loop(encoder, decoder, letters, lengths):
    """The network of two steps: the arguments and the result of Pronouncer.forward."""
    state = torch.zeros(len(letters), 256)
    for t, symbol in enumerate(letters.T):
        state = torch.where((t < lengths)[:, None], encoder(symbol, state)[1], state)
    phoneme, answer = torch.full_like(lengths, 2), []  # <s>
    for _ in range(20):
        phoneme, state = decoder(phoneme, state)
        answer.append(phoneme)
    return torch.stack(answer, 1)


# %% quantize
from functools import partial

steps = [
    Step(model.letters, model.encoder, "_l0").eval(),
    Step(model.phonemes, model.decoder, classifier=model.classifier).eval(),
]
example = torch.zeros(4, dtype=torch.int64), torch.randn(4, 256)
batch = torch.export.Dim("words", min=2)
config = x86.get_default_x86_inductor_quantization_config(is_dynamic=True)


def quantize(quantizer):
    """Both steps, exported for any number of words, in int8."""
    converted = []
    for step in steps:
        exported = torch.export.export(step, example, dynamic_shapes=({0: batch}, {0: batch}))
        prepared = prepare_pt2e(exported.module(), quantizer)
        prepared(*example)
        converted.append(convert_pt2e(prepared))
    return converted


linear_alone = quantize(x86.X86InductorQuantizer().set_module_type_qconfig(nn.Linear, config))
everything = quantize(x86.X86InductorQuantizer().set_global(config))

# %% results
from handbook.record import table
from handbook.text import PHONEME_TOLERANCE

converted = {"float32": [], "int8, Linear": linear_alone, "int8, set_global": everything}
rows = []
for name, pair in converted.items():
    answers = pronounce(partial(loop, *(pair or steps)), words)
    ranges = sum("choose_qparams" in str(n.target) for m in pair for n in m.graph.nodes)
    rows.append({"network": name, **score_phonemes(answers, float_answers), "ranges": ranges})
table("results", rows, **PHONEME_TOLERANCE)
assert [row["ranges"] for row in rows] == [0, 5, 15]
assert rows[0]["same answer as float %"] > 99.5
assert abs(rows[1]["phoneme errors %"] - rows[0]["phoneme errors %"]) < 0.5
