"""Freezing observers and batch normalization, and the errors on the way to a quantized model.

What `model.eval()` leaves on, whose `disable_observer` works on what, and the mode that each
function asks for.
Source: run with torch.ao.quantization of PyTorch and torchao.
"""

# %% load
import logging
import warnings

import torch
from torch.ao.nn.intrinsic.qat import freeze_bn_stats
from torch.ao.quantization import (
    get_default_qat_qconfig,
    get_default_qat_qconfig_mapping,
    prepare_qat,
)
from torch.ao.quantization.fake_quantize import disable_observer
from torch.ao.quantization.quantize_fx import prepare_qat_fx

from handbook.data import fashion_mnist
from handbook.record import expected, record
from handbook.running_example import load_running_example, predict

warnings.simplefilter("ignore")  # the deprecation notices
logging.disable(logging.WARNING)  # torchao mentions the GPU kernels that it does not find
images = fashion_mnist("train")[0][:500]
mapping = get_default_qat_qconfig_mapping("fbgemm")
example_inputs = (torch.from_numpy(images[:1]),)


def prepared():
    model = prepare_qat_fx(load_running_example().train(), mapping, example_inputs)
    model(torch.from_numpy(images))
    return model


# %% observers
model = prepared().eval()
scale = model.activation_post_process_0.scale  # of the images
before = scale.item()
predict(model, 10 * images)  # an evaluation, of images with another range
after = scale.item()
model.apply(disable_observer)
predict(model, 100 * images)
print(f"scale {before:.4f}, after an evaluation {after:.4f}, frozen {scale.item():.4f}")
record(drift=round(100 * (after / before - 1), 1))
assert after > 1.05 * before and scale.item() == after

# %% batch_norm
model = prepared()
conv = model.stem.conv
model.apply(freeze_bn_stats)
model.train()  # as at the start of the next epoch
assert conv.freeze_bn and not conv.bn.training
mean = conv.bn.running_mean.clone()
model(torch.from_numpy(10 * images))
print("running mean unchanged:", torch.equal(conv.bn.running_mean, mean))
assert torch.equal(conv.bn.running_mean, mean)

# %% packages
from torchao.quantization.pt2e import FakeQuantize as TorchaoFakeQuantize
from torchao.quantization.pt2e import disable_observer as torchao_disable_observer

quantizer = TorchaoFakeQuantize()
quantizer.apply(disable_observer)  # of torch.ao
print("observes after torch.ao's:", bool(quantizer.observer_enabled))
assert quantizer.observer_enabled
quantizer.apply(torchao_disable_observer)
print("observes after torchao's:", bool(quantizer.observer_enabled))
assert not quantizer.observer_enabled

# %% mode
model = load_running_example().eval()
model.qconfig = get_default_qat_qconfig("fbgemm")
with expected(AssertionError, "prepare_qat only works on models in training mode"):
    prepare_qat(model)
