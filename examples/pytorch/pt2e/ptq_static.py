"""PT2E: post-training static quantization with X86InductorQuantizer.

The running example is exported for any batch, observed on 1000 training images, and converted to
a reference model: integers, scales and zero points written out in the graph.
Source: the docstrings of torchao.quantization.pt2e.quantize_pt2e, torchao 0.18.
"""

# %% load
import logging

import torch

from handbook.data import fashion_mnist
from handbook.running_example import load_running_example, predict

logging.disable(logging.WARNING)  # torchao mentions the GPU kernels that it does not find
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
from torchao.quantization.pt2e.quantizer.x86_inductor_quantizer import (
    X86InductorQuantizer,
    get_default_x86_inductor_quantization_config,
)

torch.set_num_threads(1)
model = load_running_example()  # in eval mode
calibration_images = fashion_mnist("train")[0][:1000]
test_images, labels = fashion_mnist("test")

# %% export
example_inputs = (torch.from_numpy(calibration_images[:2]),)  # one image would fix the batch at 1
any_batch = ({0: torch.export.Dim("batch")},)
exported = torch.export.export(model, example_inputs, dynamic_shapes=any_batch)
calls = [str(node.target) for node in exported.graph.nodes if node.op == "call_function"]
print(*calls[:3], "...", *calls[-3:])

# %% prepare
quantizer = X86InductorQuantizer()
quantizer.set_global(get_default_x86_inductor_quantization_config())
prepared = prepare_pt2e(exported.module(), quantizer)
assert not any("batch_norm" in str(node.target) for node in prepared.graph.nodes)  # folded

# %% calibrate
with torch.no_grad():
    for batch in torch.from_numpy(calibration_images).split(100):
        prepared(batch)
print(prepared.get_submodule("activation_post_process_0"))

# %% convert
quantized = convert_pt2e(prepared)
lines = quantized.code.splitlines()
first = next(number for number, line in enumerate(lines) if "aten.conv2d" in line)
for line in lines[first - 2 : first + 4]:
    print(line.partition(";")[0].strip())
buffers = [b for b in quantized.buffers() if b.dtype == torch.int8]
print(len(buffers), "int8 weights, the first of shape", tuple(buffers[0].shape))
assert len(buffers) == 11  # ten convolutions and the classifier

# %% results
from handbook.measure import SCORE_TOLERANCE, score
from handbook.record import table

float_logits = predict(model, test_images)
rows = [
    {"model": "float32"} | score(float_logits, labels, float_logits),
    {"model": "int8, reference"} | score(predict(quantized, test_images), labels, float_logits),
]
table("results", rows, **SCORE_TOLERANCE)
assert rows[1]["accuracy %"] > rows[0]["accuracy %"] - 1
