"""PT2E refactoring: train() and eval() on an exported model.

Both are refused. What stands in for them switches batch normalization and dropout, and not what
Python decided at export time.
Source: torchao.quantization.pt2e.move_exported_model_to_eval and its kin, torchao 0.18.
"""

# %% load
import logging
import warnings

import torch
from torch import nn
from torch.export import export

from handbook.data import fashion_mnist
from handbook.record import expected
from handbook.tracing import Around

logging.disable(logging.WARNING)  # torchao mentions the GPU kernels that it does not find
from torchao.quantization import pt2e

warnings.filterwarnings("ignore", "`isinstance.treespec, LeafSpec.` is deprecated")
torch.set_num_threads(1)
images = torch.from_numpy(fashion_mnist("test")[0][:8])


# %% model
class Noisy(Around):
    """The running example, with dropout, and with noise while it is trained."""

    def __init__(self):
        super().__init__()
        self.dropout = nn.Dropout(0.1)

    def forward(self, x):
        if self.training:
            x = x + torch.randn_like(x)
        return self.dropout(self.network(x))


def modes(model):
    """Whether batch normalization and dropout train, dropout's p, how often noise is drawn."""
    found = {"batch_norm": None, "dropout": None, "p": None, "randn_like": 0}
    for node in model.graph.nodes:
        name = str(node.target).removeprefix("aten.").partition(".")[0]
        if name == "batch_norm":
            found[name] = node.args[5]
        elif name == "dropout":
            found["p"], found[name] = node.args[1:3]
        elif name == "randn_like":
            found[name] += 1
    return found


# %% refused
exported = export(Noisy().train(), (images,)).module()
print(modes(exported))
with expected(NotImplementedError, "Calling eval() is not supported yet."):
    exported.eval()

# %% moved
pt2e.move_exported_model_to_eval(exported)
print(modes(exported))
found = modes(exported)
assert not found["batch_norm"] and not found["dropout"] and found["randn_like"] == 1

# %% allowed
pt2e.allow_exported_model_train_eval(exported)
exported.train()
print(modes(exported))
assert modes(exported)["p"] == 0.5  # it was 0.1
