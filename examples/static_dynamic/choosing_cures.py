"""Accuracy fell: cures in the order of their effort, measured.

The weights of the running example at 8 and at 4 bits: one scale for each layer, one for each
channel, the worst layers in float, and training (by choosing_cures_train.py).
Source: Nagel et al. 2021 (arXiv:2106.08295), sections 3 and 4.
"""

# %% load
import copy

import torch
from torch import nn
from torch.fx.experimental.optimization import fuse

from handbook.data import fashion_mnist
from handbook.measure import accuracy
from handbook.record import artifact
from handbook.running_example import load_running_example, predict

torch.set_num_threads(1)  # two get in each other's way on a busy machine
float_model = fuse(load_running_example())  # folds batch normalization
layers = [name for name, m in float_model.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)]


# %% quantize
def quantize(model, bits, per_channel=True, layers=layers):
    """Return a copy whose layers have rounded weights."""
    model = copy.deepcopy(model)
    for name in layers:
        weight, quant_max = model.get_submodule(name).weight.detach(), 2 ** (bits - 1) - 1
        ranges = weight.abs().flatten(1).amax(1)
        if not per_channel:
            ranges = ranges.max().expand(len(weight))
        scale = (ranges / quant_max).clamp(min=1e-9)
        zero_point = torch.zeros(len(weight), dtype=torch.int32)
        limits = zero_point, 0, -quant_max, quant_max
        weight.copy_(torch.fake_quantize_per_channel_affine(weight, scale, *limits))
    return model


# %% worst
calibration_images = fashion_mnist("train")[0][:1000]
float_logits = predict(float_model, calibration_images)


def two_worst_layers(bits, per_channel):
    """The two that, quantized alone, change the logits of training images most."""
    error = {}
    for name in layers:
        alone = quantize(float_model, bits, per_channel, layers=[name])
        error[name] = ((predict(alone, calibration_images) - float_logits) ** 2).mean()
    return sorted(error, key=error.get)[:-3:-1]


worst = {8: two_worst_layers(8, per_channel=False), 4: two_worst_layers(4, per_channel=True)}
print(worst)
others = {bits: [name for name in layers if name not in two] for bits, two in worst.items()}


# %% results
from handbook.record import record, table


def trained(file):
    model = copy.deepcopy(float_model)
    model.load_state_dict(torch.load(artifact(f"static_dynamic/choosing_cures_train/{file}")))
    return model


runs = [
    ("8", "one scale for each layer", quantize(float_model, 8, per_channel=False)),
    ("8", "the same, two worst layers float", quantize(float_model, 8, False, others[8])),
    ("8", "one scale for each channel", quantize(float_model, 8)),
    ("4", "one scale for each layer", quantize(float_model, 4, per_channel=False)),
    ("4", "one scale for each channel", quantize(float_model, 4)),
    ("4", "the same, two worst layers float", quantize(float_model, 4, layers=others[4])),
    ("4", "trained on in float, then quantized", quantize(trained("float.pt"), 4)),
    ("4", "trained on while quantized (QAT)", quantize(trained("qat.pt"), 4)),
    ("32", "float", float_model),
    ("32", "float, trained on", trained("float.pt")),
]
test_images, labels = fashion_mnist("test")
percent = [accuracy(predict(model, test_images), labels) for *_, model in runs]
rows = [
    {"bits": bits, "weights": cure, "accuracy %": of.percent, "95 % interval": of.interval}
    for (bits, cure, _), of in zip(runs, percent, strict=True)
]
tolerance = {"accuracy %": 3, "95 % interval": 3}
table("cures", rows, tolerance=tolerance, because="training ends elsewhere on another CPU")
lost = round(percent[8].percent - percent[0].percent, 1)
record(lost=lost, tolerance=3, because="other kernels sum in another order")
layer8, but8, channel8, layer4, channel4, but4, control, qat = percent[:8]
assert layer8.high + 5 < min(but8.low, channel8.low)  # either cure is enough at 8 bits
assert layer4.high < 30 and channel4.low > 80
assert qat.percent > max(channel4.percent, control.percent)
