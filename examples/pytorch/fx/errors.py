"""FX graph mode: what people stumble over.

Shared modules, a branch on data, training mode, missing calibration, the wrong dtype, and warnings.
Source: run with torch.ao.quantization of PyTorch 2.13.
"""

# %% load
import warnings

import torch
from torch.ao.quantization import get_default_qconfig_mapping
from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

from handbook.running_example import load_running_example

torch.backends.quantized.engine = "onednn"
qconfig_mapping = get_default_qconfig_mapping("onednn")
example_inputs = (torch.rand(1, 1, 28, 28),)

# %% warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    mapping = get_default_qconfig_mapping("x86")
    prepared = prepare_fx(load_running_example(), mapping, example_inputs)
    prepared(*example_inputs)
    convert_fx(prepared)
texts = {f"{w.category.__name__}: {' '.join(str(w.message).split())[:140]} ..." for w in caught}
print(*sorted(texts), sep="\n")
assert any("torch.ao.quantization is deprecated" in text for text in texts)
warnings.simplefilter("ignore")

# %% shares
model = load_running_example()
prepared = prepare_fx(model, qconfig_mapping, example_inputs)
print("the same classifier in both:", prepared.classifier is model.classifier)
assert prepared.classifier is model.classifier and hasattr(model.classifier, "qconfig")


# %% control_flow
class Branch(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.model = load_running_example()

    def forward(self, x):
        if x.max() > 1:
            x = x / x.max()
        return self.model(x)


try:
    prepare_fx(Branch().eval(), qconfig_mapping, example_inputs)
except torch.fx.proxy.TraceError as error:
    print(f"TraceError: {error}")
    assert str(error) == "symbolically traced variables cannot be used as inputs to control flow"

# %% training_mode
try:
    prepare_fx(load_running_example().train(), qconfig_mapping, example_inputs)
except AssertionError as error:
    print(f"AssertionError: {error}")
    assert str(error) == "Fusion only for eval!"

# %% not_calibrated
uncalibrated = prepare_fx(load_running_example(), qconfig_mapping, example_inputs)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    quantized = convert_fx(uncalibrated)
messages = {" ".join(str(warning.message).split()) for warning in caught}
print(*(message for message in messages if "must run observer" in message))
print("scale", quantized.stem.conv.scale, "zero point", quantized.stem.conv.zero_point)
assert quantized.stem.conv.scale == 1

# %% dtype
try:
    torch.quantize_per_tensor(example_inputs[0].double(), 0.1, 0, torch.quint8)
except RuntimeError as error:
    print(f"RuntimeError: {error}")
    assert "Quantize only works on Float Tensor, got Double" in str(error)
