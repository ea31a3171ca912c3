"""FX graph mode: what people stumble over.

Shared modules, a branch on data, training mode, missing calibration, the wrong dtype, and warnings.
Source: run with torch.ao.quantization of PyTorch 2.13.
"""

# %% load
import contextlib
import io
import warnings

import torch
from torch.ao.quantization import get_default_qconfig_mapping
from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

from handbook.data import fashion_mnist
from handbook.measure import accuracy
from handbook.record import expected, record
from handbook.running_example import load_running_example, predict

torch.backends.quantized.engine = "x86"
qconfig_mapping = get_default_qconfig_mapping("x86")
example_inputs = (torch.rand(1, 1, 28, 28),)

# %% warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    mapping = get_default_qconfig_mapping("x86")
    prepared = prepare_fx(load_running_example(), mapping, example_inputs)
    prepared(*example_inputs)
    convert_fx(prepared)
texts = {f"{w.category.__name__}: {' '.join(str(w.message).split())}" for w in caught}
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


with expected(torch.fx.proxy.TraceError, "cannot be used as inputs to control flow"):
    prepare_fx(Branch().eval(), qconfig_mapping, example_inputs)

# %% training_mode
with expected(AssertionError, "Fusion only for eval!"):
    prepare_fx(load_running_example().train(), qconfig_mapping, example_inputs)

# %% not_calibrated
uncalibrated = prepare_fx(load_running_example(), qconfig_mapping, example_inputs)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    quantized = convert_fx(uncalibrated)
messages = {" ".join(str(warning.message).split()) for warning in caught}
print(*(message for message in messages if "must run observer" in message))
print("scale", quantized.stem.conv.scale, "zero point", quantized.stem.conv.zero_point)
images, labels = fashion_mnist("test")
correct = accuracy(predict(quantized, images), labels).percent
record(not_calibrated=correct, tolerance=5, because="what is left of the answers is noise")
assert quantized.stem.conv.scale == 1 and correct < 30

# %% dtype
silence = contextlib.redirect_stderr(io.StringIO())  # FX prints the code that it traced
with expected(RuntimeError, "Quantize only works on Float Tensor, got Double"), silence:
    quantized(example_inputs[0].double())
