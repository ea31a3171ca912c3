"""PT2E refactoring: branches on data, torch.cond and its limit.

An `if` on a tensor is refused; torch.where and torch.cond are two ways out, and one of them leaves
layers in float.
Source: the docstring of torch.cond, PyTorch 2.13; run with torchao 0.18.
"""

# %% load
import contextlib
import copy
import io
import logging

import torch
from torch.export import Dim, export
from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode

from handbook.data import fashion_mnist
from handbook.record import expected
from handbook.running_example import predict
from handbook.tracing import Around

logging.disable(logging.WARNING)  # torchao mentions the GPU kernels that it does not find
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

torch.set_num_threads(1)
images = torch.from_numpy(fashion_mnist("test")[0][:500])
any_batch = ({0: Dim("batch")},)


# %% two_heads
class TwoHeads(Around):
    """One classifier for bright batches, one for dark ones."""

    def __init__(self):
        super().__init__()
        self.bright = self.network.classifier
        self.dark = copy.deepcopy(self.bright)
        self.network.classifier = torch.nn.Identity()

    def forward(self, x):
        features = self.network(x)
        if x.mean() > -0.2:
            return self.bright(features)
        return self.dark(features)


silence = contextlib.redirect_stderr(io.StringIO())  # torch.export prints the graph so far
with expected(GuardOnDataDependentSymNode, "Could not guard on data-dependent expression"), silence:
    export(TwoHeads(), (images,), dynamic_shapes=any_batch)

# %% strict
with expected(torch._dynamo.exc.Unsupported, "Data-dependent branching"), silence:
    export(TwoHeads(), (images,), dynamic_shapes=any_batch, strict=True)


# %% where
class Where(TwoHeads):
    def forward(self, x):
        features = self.network(x)
        return torch.where(x.mean() > -0.2, self.bright(features), self.dark(features))


# %% cond
class Cond(TwoHeads):
    def forward(self, x):
        features = self.network(x)
        bright, dark = (lambda f: self.bright(f)), (lambda f: self.dark(f))
        return torch.cond(x.mean() > -0.2, bright, dark, (features,))


# %% quantize
def quantize(model):
    exported = export(model, (images,), dynamic_shapes=any_batch)
    quantizer = x86.X86InductorQuantizer()
    quantizer.set_global(x86.get_default_x86_inductor_quantization_config())
    prepared = prepare_pt2e(exported.module(), quantizer)
    predict(prepared, images.numpy())
    predict(prepared, images.numpy() - 0.5)  # darker: both branches have run
    return convert_pt2e(prepared)


def linear_layers(model):
    """How many linear layers have int8 weights, and how many float ones, branches included."""
    graphs = [m.graph for m in model.modules() if isinstance(m, torch.fx.GraphModule)]
    calls = [n for g in graphs for n in g.nodes if n.target == torch.ops.aten.linear.default]
    int8 = sum("dequantize" in str(call.args[1].target) for call in calls)
    return {"int8 linear layers": int8, "float linear layers": len(calls) - int8}


# %% results
from handbook.record import table

rows = []
for written in (Where, Cond):
    quantized = quantize(written())
    rows.append({"written with": f"`torch.{written.__name__.lower()}`"} | linear_layers(quantized))
table("results", rows)
assert [row["int8 linear layers"] for row in rows] == [2, 0]
