"""PT2E refactoring: torch.no_grad inside the model.

Its layers move into a graph of their own, where a quantizer does not find them.
Source: run with torchao 0.18; pytorch/executorch#22069.
"""

# %% load
import logging
import warnings

import torch
from torch.export import export

from handbook.data import fashion_mnist
from handbook.record import expected
from handbook.tracing import Around

logging.disable(logging.WARNING)  # torchao mentions the GPU kernels that it does not find
from torchao.quantization.pt2e.quantize_pt2e import prepare_pt2e
from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

warnings.filterwarnings("ignore", "`isinstance.treespec, LeafSpec.` is deprecated")
torch.set_num_threads(1)
images = torch.from_numpy(fashion_mnist("test")[0][:8])


# %% no_grad
class NoGrad(Around):
    @torch.no_grad()
    def forward(self, x):
        return self.network(x)


quantizer = x86.X86InductorQuantizer()
quantizer.set_global(x86.get_default_x86_inductor_quantization_config())
exported = export(NoGrad(), (images,)).module()
print([str(node.target) for node in exported.graph.nodes if node.op == "call_function"])
with expected(ValueError, "getitem is not an aten linear operator"):
    prepare_pt2e(exported, quantizer)

# %% no_grad_cure
with torch.no_grad():
    exported = export(NoGrad(), (images,)).module()
prepared = prepare_pt2e(exported, quantizer)
observers = sum("activation_post_process" in str(node.target) for node in prepared.graph.nodes)
print("observers:", observers)
assert observers > 20
