"""It traces, and does not quantize: numbers and tuples that get an observer.

Two forwards that symbolic_trace accepts. Calibration fails; then the cure.
Source: run with torch.ao.quantization.quantize_fx of PyTorch 2.13; pytorch/pytorch#59221.
"""

# %% load
import warnings

import torch
from torch.ao.quantization import get_default_qconfig_mapping
from torch.ao.quantization.quantize_fx import prepare_fx

from handbook.data import fashion_mnist
from handbook.record import expected
from handbook.tracing import Around, check

warnings.simplefilter("ignore")  # the deprecation notices of FX mode
torch.set_num_threads(1)
torch.backends.quantized.engine = "x86"
images = torch.from_numpy(fashion_mnist("train")[0][:100])
mapping = get_default_qconfig_mapping("x86")


# %% item
class Item(Around):
    def forward(self, x):
        return self.network(x * x.max().item())


prepared = prepare_fx(Item(), mapping, (images,))
with expected(AttributeError, "'float' object has no attribute 'numel'"):
    prepared.forward(images)


# %% item_cured
class Tensor(Around):
    def forward(self, x):
        return self.network(x * x.max())


check(Item(), Tensor())


# %% unbind
class Unbind(Around):
    def forward(self, x):
        return self.network(torch.stack(torch.unbind(x, 3)[::-1], 3))


prepared = prepare_fx(Unbind(), mapping, (images,))
with expected(AttributeError, "'tuple' object has no attribute 'numel'"):
    prepared.forward(images)


# %% unbind_cured
class Flip(Around):
    def forward(self, x):
        return self.network(x.flip(3))


quantized = check(Unbind(), Flip())
assert quantized.graph.find_nodes(op="call_method", target="flip")
