"""Eager mode: is the converted integer model the one that was trained?

After a short training the outputs of the fake-quantized and the converted model are compared, in
steps of their scale: with the default fake quantizer, with the plain one, and with the plain one
and a mean that is rounded in training as the int8 mean is.
Source: run with torch.ao.quantization; the default's two scales are in pytorch/ao#4824.
"""

# %% load
import warnings

import numpy as np
import torch
from torch.ao.quantization import (
    FakeQuantize,
    QConfig,
    convert,
    disable_observer,
    fuse_modules_qat,
    get_default_qat_qconfig,
    prepare_qat,
)
from torch.ao.quantization import MovingAverageMinMaxObserver as PerTensor
from torch.ao.quantization import MovingAveragePerChannelMinMaxObserver as PerChannel

from handbook.data import fashion_mnist
from handbook.eager_example import EagerExample, modules_to_fuse
from handbook.qat import train
from handbook.running_example import load_running_example, predict

warnings.simplefilter("ignore")  # the deprecation notices that ptq_static.py names
torch.set_num_threads(1)
torch.backends.quantized.engine = "x86"
test_images, labels = fashion_mnist("test")

# %% plain
ACTIVATION = {"observer": PerTensor, "quant_min": 0, "quant_max": 127, "dtype": torch.quint8}
WEIGHT = {"observer": PerChannel, "quant_min": -128, "quant_max": 127, "dtype": torch.qint8}
plain = QConfig(
    activation=FakeQuantize.with_args(**ACTIVATION),
    weight=FakeQuantize.with_args(**WEIGHT, qscheme=torch.per_channel_symmetric),
)


# %% rounded_mean
class RoundedMean(EagerExample):
    def forward(self, x):
        x = self.separable2(self.separable1(self.stem(self.quant(x))))
        x = self.add.add(x, self.inverted(x))
        x = self.cat.cat([self.branch1x1(x), self.branch3x3(x)], dim=1)
        x = self.cat.activation_post_process(x.mean((2, 3)))  # int8: an Identity
        return self.dequant(self.classifier(x))


# %% compare
def compare(network, qconfig):
    model = network()
    model.load_state_dict(load_running_example().state_dict())
    fused = fuse_modules_qat(model.train(), modules_to_fuse(model))
    fused.qconfig = qconfig
    prepared = train(prepare_qat(fused), seed=0, rate=0.001, count=2560)
    prepared.apply(disable_observer)
    fake = predict(prepared, test_images)
    quantized = convert(prepared)
    return fake, predict(quantized, test_images), quantized.classifier.scale


runs = {"fused (default)": (EagerExample, get_default_qat_qconfig("x86"))}
runs |= {"plain": (EagerExample, plain), "plain, mean rounded": (RoundedMean, plain)}
results = {run: compare(*of) for run, of in runs.items()}

# %% results
from handbook.measure import accuracy, agreement
from handbook.record import table

rows = []
for run, (fake, converted, scale) in results.items():
    steps = np.rint(np.abs(fake - converted) / scale)
    row = {"fake quantizer": run, "trained %": accuracy(fake, labels).percent}
    row |= {"converted %": accuracy(converted, labels).percent}
    row |= {"same answer %": agreement(fake, converted)}
    row |= {"identical outputs %": round(100 * float((steps == 0).mean()), 2)}
    rows.append(row | {"at most, steps": int(steps.max())})
wide = {"trained %": 3, "converted %": 3, "same answer %": 2, "identical outputs %": 20}
wide |= {"at most, steps": 30}
table("results", rows, tolerance=wide, because="training on another CPU ends elsewhere")
identical = [row["identical outputs %"] for row in rows]
assert identical[0] < identical[1] < identical[2] - 20
