"""Eager observers that are shared, and modules that are called twice, carried over to FX.

A small network with a layer, an addition and a ReLU that are used twice, and a concatenation whose
parts share one observer: which FX nodes share it, and whether the int8 outputs are the same.
Source: torch.ao.quantization of PyTorch 2.13; handbook.eager_to_fx.
"""

# %% load
import copy
import warnings

import torch
from torch import nn
from torch.ao import quantization as aoq
from torch.ao.nn.quantized import FloatFunctional
from torch.ao.quantization.quantize_fx import convert_fx

from handbook.data import fashion_mnist
from handbook.eager_to_fx import eager_observed_to_fx
from handbook.running_example import predict

# Three deprecation notices, which the page on static quantization explains.
warnings.filterwarnings("ignore", "torch.ao.quantization is deprecated")
warnings.filterwarnings("ignore", "Please use quant_min and quant_max")
warnings.filterwarnings("ignore", "torch.quantize_per_tensor, torch.quantize_per_channel")
torch.set_num_threads(1)
torch.backends.quantized.engine = "x86"
calibration_images, test_images = fashion_mnist("train")[0][:500], fashion_mnist("test")[0]


# %% network
class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.quant, self.dequant = aoq.QuantStub(), aoq.DeQuantStub()
        self.stem, self.relu = nn.Conv2d(1, 8, 3, stride=2), nn.ReLU()
        self.again, self.add, self.cat = nn.Conv2d(8, 8, 1), FloatFunctional(), FloatFunctional()
        self.classifier = nn.Linear(16, 10)

    def forward(self, x):
        x = self.relu(self.stem(self.quant(x)))
        y = self.relu(self.add.add(x, self.again(x)))
        z = self.add.add(y, self.again(y))
        joined = self.cat.cat([x, z], dim=1)
        return self.dequant(self.classifier(joined.mean((2, 3))))


# %% share
torch.manual_seed(0)
model = Twice().eval()
model.qconfig = aoq.get_default_qconfig("x86")
eager = aoq.prepare(model)
shared = eager.add.activation_post_process
eager.stem.activation_post_process = eager.cat.activation_post_process = shared
predict(eager, calibration_images)

# %% carried
prepared = eager_observed_to_fx(eager, (torch.from_numpy(test_images[:1]),))
for node in prepared.graph.nodes:
    if str(node.target).startswith("activation_post_process"):
        print(f"{node.target} observes {node.args[0]}")

# %% results
from handbook.record import record

in_eager = predict(aoq.convert(copy.deepcopy(eager)), test_images)
in_fx = predict(convert_fx(copy.deepcopy(prepared)), test_images)
assert (in_eager == in_fx).all() and in_eager.std(0).min() > 0
print("identical outputs:", in_eager.size)
record(outputs=in_eager.size)
