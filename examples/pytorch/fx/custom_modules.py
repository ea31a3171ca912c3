"""Modules that FX must not trace: non-traceable classes, preserved attributes, a custom Tracer.

A `while` loop on data stays Python, inside a module that becomes one node of the graph.
Source: the docstrings of torch.ao.quantization.fx.custom_config and torch.fx.Tracer, PyTorch 2.13.
"""

# %% load
import warnings

import torch
from torch import fx, nn
from torch.ao.quantization import get_default_qconfig_mapping
from torch.ao.quantization.fx.custom_config import ConvertCustomConfig, PrepareCustomConfig
from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx
from torch.fx.proxy import TraceError

from handbook.data import fashion_mnist
from handbook.measure import agreement
from handbook.record import expected
from handbook.running_example import load_running_example, predict

warnings.simplefilter("ignore")  # the deprecation notices of FX mode
torch.set_num_threads(1)
torch.backends.quantized.engine = "x86"
mapping = get_default_qconfig_mapping("x86")
calibration_images = fashion_mnist("train")[0][:200]
example_inputs = (torch.from_numpy(calibration_images),)
test_images = fashion_mnist("test")[0][:500]


# %% non_traceable
class Halve(nn.Module):
    def forward(self, x):
        while x.max() > 3:
            x = x / 2
        return x


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.halve, self.network = Halve(), load_running_example()
        self.mean, self.std = 73.0, 90.0  # how its images were normalized

    def forward(self, x):
        return self.network(self.halve(x))


model = Model().eval()
with expected(TraceError, "cannot be used as inputs to control flow"):
    prepare_fx(model, mapping, example_inputs)

# %% prepare
prepare_config = (
    PrepareCustomConfig()
    .set_non_traceable_module_classes([Halve])  # or set_non_traceable_module_names(["halve"])
    .set_preserved_attributes(["mean", "std"])
)
prepared = prepare_fx(model, mapping, example_inputs, prepare_custom_config=prepare_config)
predict(prepared, calibration_images)
print("prepared:", prepared.mean, prepared.std)

# %% convert
convert_config = ConvertCustomConfig().set_preserved_attributes(["mean", "std"])
quantized = convert_fx(prepared, convert_custom_config=convert_config)
print("converted:", quantized.mean, quantized.std)
float_logits = predict(Model().eval(), test_images)
same = agreement(predict(quantized, test_images), float_logits)
print(f"{type(quantized.halve).__name__} is still Python; same answer as float: {same:.1f} %")
assert same > 95 and isinstance(quantized.halve, Halve)

# %% attribute_lost
prepared = prepare_fx(Model().eval(), mapping, example_inputs, prepare_custom_config=prepare_config)
predict(prepared, calibration_images)
with expected(AttributeError, "'GraphModule' object has no attribute 'mean'"):
    _ = convert_fx(prepared).mean


# %% leaf
class LeafTracer(fx.Tracer):
    def is_leaf_module(self, module, name):
        return isinstance(module, Halve) or super().is_leaf_module(module, name)


model = Model().eval()
traced = fx.GraphModule(model, LeafTracer().trace(model))
print([node.name for node in traced.graph.nodes][:3])
with expected(TraceError, "cannot be used as inputs to control flow"):
    prepare_fx(traced, mapping, example_inputs)  # traces anew, with a Tracer of its own
