"""PT2E refactoring: a model before and after, so that torch.export captures it for any batch.

A network that normalizes raw images itself counts them, branches on data and asks for the length
of its input. Three lines change; then it exports and quantizes.
Source: the docstring of torch.export.export, and torch.export's programming model, PyTorch 2.13.
"""

# %% load
import contextlib
import io
import logging

import torch
from torch.export import Dim, export
from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode

from handbook.data import MEAN, STD, fashion_mnist
from handbook.record import expected
from handbook.running_example import load_running_example, predict
from handbook.tracing import Around

logging.disable(logging.WARNING)  # torchao mentions the GPU kernels that it does not find
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

torch.set_num_threads(1)
test_images, labels = fashion_mnist("test")
flat = test_images.reshape(-1, 784)
example_inputs = (torch.from_numpy(flat[:2]),)
any_batch = ({0: Dim("batch")},)  # dimension 0 of the first input


# %% before
class Before(Around):
    """Takes images (N, 784), normalized or raw."""

    def __init__(self):
        super().__init__()
        self.seen = 0

    def forward(self, x):
        self.seen += len(x)
        x = x.view(len(x), 1, 28, 28)
        if x.max() > 5:  # raw pixels: normalize them
            x = (x - float(MEAN)) / float(STD)
        return self.network(x)


# %% after
class After(Around):
    def forward(self, x):
        x = x.view(-1, 1, 28, 28)
        raw = x.amax((1, 2, 3), keepdim=True) > 5  # for each image by itself
        x = torch.where(raw, (x - float(MEAN)) / float(STD), x)
        return self.network(x)


# %% same
before, after = predict(Before(), flat[:500]), predict(After(), flat[:500])
raw = predict(After(), flat[:500] * STD + MEAN)
print(
    "largest difference:", abs(after - before).max(), "and for raw pixels:", abs(raw - before).max()
)
assert (after == before).all() and abs(raw - before).max() < 1e-3

# %% refused
silence = contextlib.redirect_stderr(io.StringIO())  # torch.export prints the graph so far
with expected(GuardOnDataDependentSymNode, "Could not guard on data-dependent expression"), silence:
    export(Before(), example_inputs, dynamic_shapes=any_batch)

# %% export
exported = export(After(), example_inputs, dynamic_shapes=any_batch)
calls = [node for node in exported.graph.nodes if node.op == "call_function"]
print(*(node.target for node in calls[:9]), "...", sep="\n")
module = exported.module()
for count in (1, 7, 500):
    assert module(torch.from_numpy(flat[:count])).shape == (count, 10)

# %% quantize
quantizer = x86.X86InductorQuantizer()
quantizer.set_global(x86.get_default_x86_inductor_quantization_config())
prepared = prepare_pt2e(exported.module(), quantizer)
predict(prepared, fashion_mnist("train")[0][:1000].reshape(-1, 784))
quantized = convert_pt2e(prepared)

# %% results
from handbook.measure import SCORE_TOLERANCE, score
from handbook.record import table

float_logits = predict(load_running_example(), test_images)
runs = {
    "float32, before": float_logits,
    "float32, after, exported": predict(module, flat),
    "int8, after": predict(quantized, flat),
}
rows = [{"model": run} | score(logits, labels, float_logits) for run, logits in runs.items()]
table("results", rows, **SCORE_TOLERANCE)
assert rows[1]["same answer as float %"] == 100 and rows[2]["same answer as float %"] > 98
