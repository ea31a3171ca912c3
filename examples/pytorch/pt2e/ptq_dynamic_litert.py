"""PT2E: a dynamically quantized encoder in LiteRT.

LiteRT's PT2EQuantizer marks weights alone; the kernels of the .tflite file find the range of their
inputs themselves. The embedding has to stay outside.
Source: litert_torch.quantize of LiteRT Torch 0.10.
"""

# %% load
import logging
import warnings

import numpy as np
import torch
from torch import nn

from handbook.text import documents, embed, load_sentence_encoder, score_embeddings, tokenize
from handbook.tflite import quiet

warnings.simplefilter("ignore")  # notices that the page lists
logging.disable(logging.WARNING)  # torchao mentions the GPU kernels that it does not find

with quiet():  # it imports TensorFlow
    import litert_torch
    from litert_torch.quantize import pt2e_quantizer as litert
    from litert_torch.quantize.quant_config import QuantConfig
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

torch.set_num_threads(1)
model = load_sentence_encoder()
texts, _ = documents()
float_vectors = embed(model, texts)


# %% body
class Body(nn.Module):
    """The encoder without its embeddings."""

    def __init__(self):
        super().__init__()
        self.encoder = model

    def forward(self, x, mask):
        x = self.encoder.norm(x)
        for layer in self.encoder.layers:
            x = layer(x, mask.bool()[:, None, None, :])
        weights = mask[:, :, None].float()
        return nn.functional.normalize((x * weights).sum(1) / weights.sum(1), dim=1)


ids, mask = tokenize(texts)  # padded to one length, which the file then has
with torch.no_grad():
    embedded = model.words(ids) + model.positions(mask.cumsum(1) - 1) + model.segments.weight[0]
example = embedded[:1], mask[:1].int()

# %% quantize
config = litert.get_symmetric_quantization_config(is_per_channel=True, is_dynamic=True)
quantizer = litert.PT2EQuantizer().set_global(config)


def quantize(module, example):
    """Return the converted module and its .tflite model."""
    prepared = prepare_pt2e(torch.export.export(module, example).module(), quantizer)
    prepared(*example)
    converted = convert_pt2e(prepared, fold_quantize=False)
    with quiet():
        quant_config = QuantConfig(pt2e_quantizer=quantizer)
        return converted, litert_torch.convert(converted, example, quant_config=quant_config)


converted, tflite = quantize(Body().eval(), example)

# %% results
from handbook.measure import file_size_kib
from handbook.record import artifact, expected, record, table
from handbook.text import TEXT_TOLERANCE

path = artifact("pytorch/pt2e/ptq_dynamic_litert/body.tflite")
with quiet():
    tflite.export(str(path))
inputs = [(embedded[i : i + 1], mask[i : i + 1].int()) for i in range(len(texts))]
with torch.no_grad(), quiet():
    in_pytorch = np.concatenate([converted(*args).numpy() for args in inputs])
    in_litert = np.concatenate([tflite(*(a.numpy() for a in args)) for args in inputs])
vectors = {"float32": float_vectors, "int8, converted": in_pytorch, "int8, LiteRT": in_litert}
rows = [{"encoder": name} | score_embeddings(v, float_vectors) for name, v in vectors.items()]
table("results", rows, **TEXT_TOLERANCE)
record(size=round(file_size_kib(path) / 1024, 1), tolerance=1, because="the converter's version")
assert rows[2]["mean cosine to float"] > 0.99

# %% embedding
with_embedding = nn.Sequential(nn.Embedding(1000, 64), nn.Linear(64, 64)).eval()
nn.init.uniform_(with_embedding[0].weight)  # not centered on zero, as real tables are not
word = torch.zeros(1, 16, dtype=torch.int32)
_, tflite = quantize(with_embedding, (word,))
with expected(RuntimeError, "embedding_lookup.cc"), quiet():
    tflite(word.numpy())
