"""A custom fake quantizer: scales that are powers of two.

Hardware that has no multiplier for scales shifts instead. A subclass of FakeQuantize rounds each
scale up to a power of two; the running example is trained with it, weights in 4 bits, and then
converted.
Source: torch/ao/quantization/fake_quantize.py; power-of-two scales as in Jain et al.,
arXiv:1903.08066.
"""

# %% load
import warnings

import torch
from torch.ao.nn import quantized as nnq
from torch.ao.quantization import (
    FakeQuantize,
    MovingAverageMinMaxObserver,
    MovingAveragePerChannelMinMaxObserver,
    QConfig,
    QConfigMapping,
)
from torch.ao.quantization.quantize_fx import convert_fx, prepare_qat_fx

from handbook import qat
from handbook.data import fashion_mnist
from handbook.running_example import load_running_example, predict

for message in ("torch.ao.quantization is deprecated", "torch.quantize_per_tensor"):
    warnings.filterwarnings("ignore", message)
torch.set_num_threads(1)
torch.backends.quantized.engine = "x86"
calibration_images = fashion_mnist("train")[0][:1000]


# %% power_of_two
class PowerOfTwo(FakeQuantize):
    """Fake-quantize with scales 2^n, never smaller than what the observer asks for."""

    def calculate_qparams(self):
        scale, zero_point = super().calculate_qparams()
        rounded_up = torch.exp2(scale.log2().ceil())
        if self.qscheme == torch.per_tensor_affine:  # the same low end, with a wider step
            low = (self.quant_min - zero_point) * scale
            zero_point = self.quant_min - (low / rounded_up).round().int()
        return rounded_up, zero_point


# %% prepare
activation = PowerOfTwo.with_args(
    observer=MovingAverageMinMaxObserver, dtype=torch.quint8, quant_min=0, quant_max=127
)  # 7 bits: without VNNI, the sum of two products of 8 bits overflows 16
weight = PowerOfTwo.with_args(
    observer=MovingAveragePerChannelMinMaxObserver,
    quant_min=-8,
    quant_max=7,
    dtype=torch.qint8,
    qscheme=torch.per_channel_symmetric,
)
mapping = QConfigMapping().set_global(QConfig(activation=activation, weight=weight))


def prepared():
    return prepare_qat_fx(
        load_running_example().train(), mapping, (torch.from_numpy(calibration_images[:1]),)
    )


# %% train
calibrated = prepared().eval()
predict(calibrated, calibration_images)
trained = qat.train(prepared(), seed=0, rate=0.003, count=3840)

# %% convert
from handbook.measure import score
from handbook.record import table

test_images, labels = fashion_mnist("test")
float_logits = predict(load_running_example(), test_images)
rows = [{"model": "float32"} | score(float_logits, labels, float_logits)]
for name, model in (("calibrated", calibrated), ("trained", trained)):
    int8 = convert_fx(model)
    for layer in int8.modules():
        if isinstance(layer, nnq.Conv2d | nnq.Linear):
            of_weight, of_output = (
                layer.weight().q_per_channel_scales(),
                torch.tensor([layer.scale]),
            )
            exponents = torch.cat([of_weight, of_output]).log2()
            assert (exponents % 1 == 0).all()  # powers of two, after conversion too
            assert layer.weight().int_repr().abs().max() <= 8
    rows.append(
        {"model": f"powers of two, {name}"}
        | score(predict(int8, test_images), labels, float_logits)
    )
print("first layer: scale", int8.stem.conv.scale, "zero point", int8.stem.conv.zero_point)
wide = dict.fromkeys(list(rows[0])[1:], 3)
table("results", rows, tolerance=wide, because="30 batches of training end elsewhere")
assert rows[2]["accuracy %"] > rows[1]["accuracy %"] + 1
