"""PT2E refactoring: attributes that forward changes.

A number is baked into the graph, a tensor is dropped with a warning, and a buffer works.
Source: run with torch.export of PyTorch 2.13.
"""

# %% load
import logging
import warnings

import torch
from torch.export import export

from handbook.data import fashion_mnist
from handbook.tracing import Around

logging.disable(logging.WARNING)
warnings.filterwarnings("ignore", "`isinstance.treespec, LeafSpec.` is deprecated")
torch.set_num_threads(1)
images = torch.from_numpy(fashion_mnist("test")[0][:8])


# %% counter
class Counter(Around):
    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return self.network(x) * self.calls


counter = Counter()
exported = export(counter, (images,)).module()
first, second = exported(images), exported(images)
print("second call / first call:", (second / first).mean().item(), "calls:", counter.calls)
assert torch.equal(first, second) and counter.calls == 0 and not hasattr(exported, "calls")


# %% tensor_attribute
class Remembers(Around):
    def forward(self, x):
        self.last = x.mean()
        return self.network(x)


with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    export(Remembers(), (images,))
texts = [str(warning.message) for warning in caught if "self.last" in str(warning.message)]
print(texts[0])


# %% buffer
class Buffer(Around):
    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        self.calls += 1
        return self.network(x) * self.calls


exported = export(Buffer(), (images,)).module()
first, second = exported(images), exported(images)
print("second call / first call:", (second / first).mean().item(), "calls:", exported.calls.item())
torch.testing.assert_close(second, 2 * first)


# %% non_strict
class Prints(Around):
    def forward(self, x):
        print("the range of", type(x).__name__)
        return self.network(x)


export(Prints(), (images,))
export(Prints(), (images,), strict=True)
print("strict: it did not print")
