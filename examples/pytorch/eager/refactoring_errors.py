"""Eager mode: what an edit that was forgotten raises, and when.

Stubs, additions, a layer left in float. The errors come at the first inference, not at prepare or
convert.
Source: run with torch.ao.quantization of PyTorch 2.13.
"""

# %% load
import warnings

import torch
from torch import nn
from torch.ao.nn.quantized import FloatFunctional
from torch.ao.quantization import convert, fuse_modules, get_default_qconfig, prepare

from handbook.eager_example import EagerExample, load_eager_example, modules_to_fuse
from handbook.record import expected

warnings.simplefilter("ignore")  # the deprecation notices that the page on PTQ shows
torch.backends.quantized.engine = "x86"
images = torch.rand(8, 1, 28, 28)


def quantized(model):
    fused = fuse_modules(model.eval(), modules_to_fuse(model))
    fused.qconfig = get_default_qconfig("x86")
    prepared = prepare(fused)
    prepared(images)
    return convert(prepared)


# %% no_quant_stub
class NoQuantStub(EagerExample):
    def __init__(self):
        super().__init__()
        self.quant = nn.Identity()


with expected(NotImplementedError, "Could not run 'quantized::conv2d_relu.new'"):
    quantized(NoQuantStub())(images)


# %% no_dequant_stub
class NoDequantStub(EagerExample):
    def __init__(self):
        super().__init__()
        self.dequant = nn.Identity()


with expected(TypeError, "Got unsupported ScalarType QUInt8"):
    quantized(NoDequantStub())(images).numpy()


# %% plain_add
class PlainAdd(EagerExample):
    def forward(self, x):
        x = self.separable2(self.separable1(self.stem(self.quant(x))))
        x = x + self.inverted(x)
        return self.dequant(x)


with expected(NotImplementedError, "Could not run 'aten::add.out'"):
    quantized(PlainAdd())(images)


# %% made_in_forward
class MadeInForward(EagerExample):
    def forward(self, x):
        x = self.separable2(self.separable1(self.stem(self.quant(x))))
        x = FloatFunctional().add(x, self.inverted(x))  # no submodule: convert does not see it
        return self.dequant(x)


with expected(NotImplementedError, "Could not run 'aten::add.out'"):
    quantized(MadeInForward())(images)

# %% float_layer
model = load_eager_example()
model.classifier.qconfig = None  # the last layer shall stay float
with expected(RuntimeError, "must have the same dtype, but got QUInt8 and Float"):
    quantized(model)(images)


# %% float_layer_cured
class FloatClassifier(EagerExample):
    def forward(self, x):
        x = self.separable2(self.separable1(self.stem(self.quant(x))))
        x = self.add.add(x, self.inverted(x))
        x = self.cat.cat([self.branch1x1(x), self.branch3x3(x)], dim=1)
        return self.classifier(self.dequant(x.mean((2, 3))))  # first dequant


model = FloatClassifier()
model.classifier.qconfig = None
print(quantized(model).classifier)
assert quantized(model)(images).dtype == torch.float32
