"""PT2E: dynamic quantization of a sentence encoder with three quantizers.

All-MiniLM-L6-v2 is exported once, for texts of any length, and quantized with X86InductorQuantizer,
XNNPACKQuantizer and LiteRT's PT2EQuantizer: what each puts into the graph, and the metric.
Source: torchao.quantization.pt2e of torchao 0.18.
"""

# %% load
import logging
import warnings
from collections import Counter

import torch

from handbook.text import documents, embed, load_sentence_encoder, score_embeddings, tokenize

warnings.simplefilter("ignore")  # notices that the page lists
logging.disable(logging.WARNING)  # torchao mentions the GPU kernels that it does not find

from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

torch.set_num_threads(1)
model = load_sentence_encoder()
texts, _ = documents()
float_vectors = embed(model, texts)

# %% export
tokens = tokenize(texts[:1])
length = torch.export.Dim("length", min=2, max=256)
exported = torch.export.export(model, tokens, dynamic_shapes=({1: length}, {1: length}))
difference = abs(embed(exported.module(), texts) - float_vectors).max().item()
print("largest difference to eager float:", difference)
assert difference < 1e-5

# %% quantize
from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

x86_quantizer = x86.X86InductorQuantizer()
x86_quantizer.set_global(x86.get_default_x86_inductor_quantization_config(is_dynamic=True))

prepared = prepare_pt2e(exported.module(), x86_quantizer)
prepared(*tokens)  # one call: there is no range to find, but the weights' observers must run
quantized = convert_pt2e(prepared)

# %% nodes
names = [str(node.target).removeprefix("quantized_decomposed.") for node in quantized.graph.nodes]
counts = Counter(name for name in names if "quantize_" in name or "qparams" in name)
print(*(f"{count:3} {name}" for name, count in counts.items()), sep="\n")
assert counts["choose_qparams.tensor"] == 24 and counts["dequantize_per_channel.default"] == 36

# %% seven_bits
seven_bits = x86.X86InductorQuantizer()
config = x86.get_default_x86_inductor_quantization_config(is_dynamic=True, reduce_range=True)
seven_bits.set_global(config)
prepared = prepare_pt2e(exported.module(), seven_bits)
prepared(*tokens)
quantized_seven_bits = convert_pt2e(prepared)

# %% results
from handbook.record import record, table
from handbook.text import TEXT_TOLERANCE

vectors = {
    "float32": float_vectors,
    "int8": embed(quantized, texts),
    "int8, reduce_range": embed(quantized_seven_bits, texts),
}
rows = [{"encoder": name} | score_embeddings(v, float_vectors) for name, v in vectors.items()]
table("results", rows, **TEXT_TOLERANCE)
assert rows[1]["mean cosine to float"] > rows[2]["mean cosine to float"] > 0.97

# %% equals_eager
from torch import nn
from torch.ao.quantization import per_channel_dynamic_qconfig, quantize_dynamic

torch.backends.quantized.engine = "x86"
eager = quantize_dynamic(model, {nn.Linear: per_channel_dynamic_qconfig})
state = quantized_seven_bits.state_dict()
stored = [v for name, v in sorted(state.items()) if v.dtype == torch.int8]
layers = [m for m in eager.modules() if isinstance(m, torch.ao.nn.quantized.dynamic.Linear)]
weights = [m.weight().int_repr() for m in layers]
found = sum(any(torch.equal(w, v) for v in stored) for w in weights)
record(found=found, weights=len(weights))
print(f"{found} of eager's {len(weights)} weights are the same integers")
assert found == len(weights) == 36

cosine = float((embed(eager, texts) * vectors["int8, reduce_range"]).sum(1).mean())
assert cosine > rows[2]["mean cosine to float"]
record(cosine=round(cosine, 3), tolerance=0.01, because="kernels round in another order")
