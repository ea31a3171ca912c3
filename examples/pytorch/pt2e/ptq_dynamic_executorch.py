"""PT2E: a dynamically quantized encoder in ExecuTorch.

XNNPACKQuantizer, then XNNPACK's kernels in a .pte file, for texts of any length: the metric in
PyTorch and in ExecuTorch's runtime, and the size.
Source: executorch 1.4, backends/xnnpack.
"""

# %% load
import logging
import warnings

import torch

from handbook.text import documents, embed, load_sentence_encoder, score_embeddings, tokenize
from handbook.tflite import quiet

warnings.simplefilter("ignore")  # notices that the page lists
logging.disable(logging.WARNING)  # torchao mentions the GPU kernels that it does not find

from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from executorch.backends.xnnpack.quantizer import xnnpack_quantizer as xnnpack
from executorch.exir import to_edge_transform_and_lower
from executorch.runtime import Runtime
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

torch.set_num_threads(1)
model = load_sentence_encoder()
texts, _ = documents()
float_vectors = embed(model, texts)

# %% quantize
tokens = tokenize(texts[:1])
length = torch.export.Dim("length", min=2, max=256)
dynamic_shapes = {1: length}, {1: length}
exported = torch.export.export(model, tokens, dynamic_shapes=dynamic_shapes)

quantizer = xnnpack.XNNPACKQuantizer()
config = xnnpack.get_symmetric_quantization_config(is_per_channel=True, is_dynamic=True)
quantizer.set_global(config)
prepared = prepare_pt2e(exported.module(), quantizer)
prepared(*tokens)
quantized = convert_pt2e(prepared)

# %% lower
exported = torch.export.export(quantized, tokens, dynamic_shapes=dynamic_shapes)
lowered = to_edge_transform_and_lower(exported, partitioner=[XnnpackPartitioner()])
program = lowered.to_executorch()

# %% run
from handbook.record import artifact

path = artifact("pytorch/pt2e/ptq_dynamic_executorch/encoder.pte")
path.write_bytes(program.buffer)
with quiet():  # the runtime logs where it looks for the CPU's features
    method = Runtime.get().load_program(path).load_method("forward")
    runtime_vectors = embed(lambda *tokens: method.execute(tokens)[0], texts)

# %% results
from handbook.measure import file_size_kib
from handbook.record import record, table
from handbook.text import TEXT_TOLERANCE

vectors = {
    "float32, PyTorch": float_vectors,
    "int8, converted": embed(quantized, texts),
    "int8, ExecuTorch": runtime_vectors,
}
rows = [{"encoder": name} | score_embeddings(v, float_vectors) for name, v in vectors.items()]
table("results", rows, **TEXT_TOLERANCE)
record(size=round(file_size_kib(path) / 1024), tolerance=1, because="other versions of XNNPACK")
assert rows[2]["mean cosine to float"] > rows[1]["mean cosine to float"]  # a scale for each token
