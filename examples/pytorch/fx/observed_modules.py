"""A custom layer in int8: float, observed and quantized classes, and a part of a model.

Softsign is no operation that FX mode quantizes. Three classes teach it; then only the part of a
model that can be traced is quantized.
Source: torch.ao.quantization.fx.custom_config, PyTorch 2.13.
"""

# %% load
import warnings

import torch
from torch import nn
from torch.ao.quantization import get_default_qconfig_mapping
from torch.ao.quantization.fx.custom_config import ConvertCustomConfig, PrepareCustomConfig
from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

from handbook.data import fashion_mnist
from handbook.measure import agreement
from handbook.running_example import load_running_example, predict

warnings.simplefilter("ignore")  # the deprecation notices of FX mode
torch.set_num_threads(1)
torch.backends.quantized.engine = "x86"
mapping = get_default_qconfig_mapping("x86")
calibration_images = fashion_mnist("train")[0][:200]
example_inputs = (torch.from_numpy(calibration_images[:1]),)
test_images = fashion_mnist("test")[0][:500]


# %% classes
class Softsign(nn.Module):
    def forward(self, x):
        return x / (1 + x.abs())


class ObservedSoftsign(Softsign):
    @classmethod
    def from_float(cls, module):
        observed = cls()
        observed.qconfig = module.qconfig  # convert_fx asks for it
        return observed


class QuantizedSoftsign(nn.Module):
    def __init__(self, scale, zero_point):
        super().__init__()
        self.scale, self.zero_point = float(scale), int(zero_point)

    @classmethod
    def from_observed(cls, module):
        return cls(*module.activation_post_process.calculate_qparams())

    def forward(self, x):  # x is quint8
        inputs = (torch.arange(256) - x.q_zero_point()) * x.q_scale()
        outputs = inputs / (1 + inputs.abs())  # a table: one entry for each of 256 inputs
        y = outputs[x.int_repr().int()]
        return torch.quantize_per_tensor(y, self.scale, self.zero_point, torch.quint8)


# %% quantize
model = nn.Sequential(load_running_example(), Softsign()).eval()
float_outputs = predict(model, test_images)
prepare_config = PrepareCustomConfig().set_float_to_observed_mapping(Softsign, ObservedSoftsign)
convert_config = ConvertCustomConfig().set_observed_to_quantized_mapping(
    ObservedSoftsign, QuantizedSoftsign
)
prepared = prepare_fx(model, mapping, example_inputs, prepare_custom_config=prepare_config)
predict(prepared, calibration_images)
quantized = convert_fx(prepared, convert_custom_config=convert_config)
outputs = predict(quantized, test_images)
for node in list(quantized.graph.nodes)[-4:]:
    print(f"{node.op:12} {node.name}")
print(f"same answer as float: {agreement(outputs, float_outputs):.1f} %")
assert isinstance(quantized.get_submodule("1"), QuantizedSoftsign)
assert agreement(outputs, float_outputs) > 95


# %% submodule
class Halve(nn.Module):
    def forward(self, x):
        while x.max() > 3:
            x = x / 2
        return self.network(x)


model = Halve()
model.network = load_running_example()
float_logits = predict(model, test_images)
prepared = prepare_fx(model.network, mapping, example_inputs)
predict(prepared, calibration_images)  # with what the submodule will see
model.network = convert_fx(prepared)
print(f"same answer as float: {agreement(predict(model, test_images), float_logits):.1f} %")
assert agreement(predict(model, test_images), float_logits) > 95
