"""PT2E refactoring: numbers out of tensors, with .item().

Export keeps such a number as a symbol, as long as Python does not need its value.
Source: run with torch.export of PyTorch 2.13.
"""

# %% load
import contextlib
import io
import logging

import torch
from torch.export import Dim, export
from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode

from handbook.data import fashion_mnist
from handbook.record import expected
from handbook.tracing import Around

logging.disable(logging.WARNING)
torch.set_num_threads(1)
images = torch.from_numpy(fashion_mnist("test")[0][:100])
any_batch = ({0: Dim("batch")},)


# %% item
class Scaled(Around):
    def forward(self, x):
        return self.network(x / x.max().item())


exported = export(Scaled(), (images,), dynamic_shapes=any_batch)
print([str(node.target) for node in exported.graph.nodes if "item" in str(node.target)])
brighter = 2 * images + 1
assert (exported.module()(brighter) - Scaled()(brighter)).abs().max() < 1e-3


# %% item_as_size
class Selected(Around):
    def forward(self, x):
        count = int((x.amax((1, 2, 3)) > 0).sum())
        return self.network(x[:count])


silence = contextlib.redirect_stderr(io.StringIO())  # torch.export prints the graph so far
with expected(GuardOnDataDependentSymNode, "Could not extract specialized integer"), silence:
    export(Selected(), (images,), dynamic_shapes=any_batch)
