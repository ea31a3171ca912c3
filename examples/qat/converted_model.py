"""Is the converted integer model the one that was trained? FX QAT, converted to int8.

After a short training, the outputs of the fake-quantized and of the converted model are compared
in steps of their scale: with PyTorch's default fake quantizer, and with the plain one.
Source: run with torch.ao.quantization; the default's two scales are in pytorch/ao#4824.
"""

# %% load
import warnings

import torch
from torch.ao.quantization import FakeQuantize, QConfig, QConfigMapping, get_default_qat_qconfig
from torch.ao.quantization import MovingAverageMinMaxObserver as PerTensor
from torch.ao.quantization import MovingAveragePerChannelMinMaxObserver as PerChannel
from torch.ao.quantization.fake_quantize import disable_observer
from torch.ao.quantization.quantize_fx import convert_fx, prepare_qat_fx
from torch.nn import functional as F

from handbook.data import fashion_mnist
from handbook.running_example import load_running_example, predict

warnings.simplefilter("ignore")  # the deprecation notices
torch.set_num_threads(1)
torch.backends.quantized.engine = "fbgemm"
train_images, train_labels = map(torch.from_numpy, fashion_mnist("train"))
test_images, labels = fashion_mnist("test")

# %% qconfigs
QUANTIZED = {"observer": PerTensor, "quant_min": 0, "quant_max": 127, "dtype": torch.quint8}
WEIGHT = {"observer": PerChannel, "quant_min": -128, "quant_max": 127, "dtype": torch.qint8}
plain = QConfig(
    activation=FakeQuantize.with_args(**QUANTIZED),  # 7 bits: no sum of products saturates
    weight=FakeQuantize.with_args(**WEIGHT, qscheme=torch.per_channel_symmetric),
)
default = get_default_qat_qconfig("fbgemm")


# %% train
def trained(qconfig):
    torch.manual_seed(0)
    mapping = QConfigMapping().set_global(qconfig)
    model = prepare_qat_fx(load_running_example().train(), mapping, (train_images[:1],))
    optimizer = torch.optim.SGD(model.parameters(), 0.002, momentum=0.9)
    for batch in torch.randperm(len(train_images))[:5120].split(128):
        loss = F.cross_entropy(model(train_images[batch]), train_labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()
    model.apply(disable_observer)  # model.eval() leaves the observers on
    return model


# %% compare
import numpy as np

from handbook.measure import accuracy, agreement
from handbook.record import table

rows = []
for name, qconfig in (("fused (default)", default), ("plain FakeQuantize", plain)):
    model = trained(qconfig)
    fake = predict(model, test_images)
    weight_quantizer = model.separable2.pointwise.conv.weight_fake_quant
    ratio = weight_quantizer.scale / weight_quantizer.calculate_qparams()[0]
    integer_model = convert_fx(model)
    converted = predict(integer_model, test_images)
    steps = np.rint(np.abs(fake - converted) / integer_model.classifier.scale)
    row = {"fake quantizer": name, "trained %": accuracy(fake, labels).percent}
    row |= {"converted %": accuracy(converted, labels).percent}
    row |= {"same answer %": agreement(fake, converted)}
    row |= {"identical outputs %": round(100 * float((steps == 0).mean()), 2)}
    row |= {"largest difference, steps": int(steps.max())}
    between = f"{ratio.min():.4f} to {ratio.max():.4f}"
    rows.append(row | {"scale in training / converted": between})
wide = {"trained %": 3, "converted %": 3, "same answer %": 2, "identical outputs %": 25}
wide |= {"largest difference, steps": 30, "scale in training / converted": 0.01}
table("results", rows, tolerance=wide, because="training on another CPU ends elsewhere")
fused, plain_row = rows
assert plain_row["identical outputs %"] > fused["identical outputs %"] + 15
assert fused["same answer %"] > 97 and plain_row["same answer %"] > 99
assert plain_row["scale in training / converted"] == "1.0000 to 1.0000"
assert fused["scale in training / converted"] == f"{127.5 / 128:.4f} to {127.5 / 127:.4f}"
