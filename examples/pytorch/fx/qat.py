"""FX graph mode: quantization aware training.

The running example is trained with two fake quantizers and converted to int8, and as float.
Source: the docstring of torch.ao.quantization.quantize_fx.prepare_qat_fx, PyTorch 2.13.
"""

# %% load
import copy
import warnings

import torch
from torch.ao.nn.intrinsic.qat import freeze_bn_stats
from torch.ao.quantization import (
    FakeQuantize,
    QConfig,
    QConfigMapping,
    get_default_qat_qconfig_mapping,
    get_default_qconfig_mapping,
)
from torch.ao.quantization import MovingAverageMinMaxObserver as PerTensor
from torch.ao.quantization import MovingAveragePerChannelMinMaxObserver as PerChannel
from torch.ao.quantization.fake_quantize import disable_observer
from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx, prepare_qat_fx

from handbook.data import fashion_mnist
from handbook.qat import train
from handbook.running_example import load_running_example, predict

warnings.simplefilter("ignore")  # the deprecation notices of FX mode
torch.set_num_threads(1)
torch.backends.quantized.engine = "x86"
calibration_images = fashion_mnist("train")[0][:1000]
test_images, labels = fashion_mnist("test")
example_inputs = (torch.from_numpy(calibration_images[:1]),)

# %% mappings
default = get_default_qat_qconfig_mapping("x86")
activation = {"observer": PerTensor, "quant_min": 0, "quant_max": 127, "dtype": torch.quint8}
weight = {"observer": PerChannel, "quant_min": -128, "quant_max": 127, "dtype": torch.qint8}
qconfig = QConfig(
    activation=FakeQuantize.with_args(**activation),  # 7 bits, as the engine's default
    weight=FakeQuantize.with_args(**weight, qscheme=torch.per_channel_symmetric),
)
plain = QConfigMapping().set_global(qconfig)


# %% train
def trained(mapping):
    model = load_running_example().train()  # training mode
    prepared = prepare_qat_fx(model, mapping, example_inputs)
    train(prepared, seed=0, rate=0.001, count=2560)  # 20 batches: ranges and statistics follow
    prepared.apply(disable_observer)
    prepared.apply(freeze_bn_stats)
    return train(prepared, seed=1, rate=0.0002, count=1536)  # 12 batches of what is deployed


# %% convert
prepared = trained(default)
print(type(prepared.stem.conv).__name__, type(prepared.activation_post_process_0).__name__)
quantized = convert_fx(copy.deepcopy(prepared))
print(quantized.stem.conv)
assert prepared.stem.conv.freeze_bn and not prepared.activation_post_process_0.observer_enabled


# %% control
def ptq(model):
    mapping = get_default_qconfig_mapping("x86")
    prepared = prepare_fx(copy.deepcopy(model), mapping, example_inputs)
    predict(prepared, calibration_images)
    return convert_fx(prepared)


control = train(load_running_example(), seed=0, rate=0.001, count=2560)
control = train(control, seed=1, rate=0.0002, count=1536)

# %% results
from handbook.measure import SCORE_TOLERANCE, paired, score
from handbook.record import record, table

prepared_plain = trained(plain)
models = {
    "float32": load_running_example(),
    "static: int8": ptq(load_running_example()),
    "float32, trained on": control,
    "float32, trained on, then static: int8": ptq(control),
    "QAT, default: before conversion": prepared,
    "QAT, default: int8": quantized,
    "QAT, plain FakeQuantize: before conversion": prepared_plain,
    "QAT, plain FakeQuantize: int8": convert_fx(copy.deepcopy(prepared_plain)),
}
logits = [predict(model, test_images) for model in models.values()]
rows = [{"model": n} | score(y, labels, logits[0]) for n, y in zip(models, logits, strict=True)]
wide = dict.fromkeys(SCORE_TOLERANCE["tolerance"], 2)
ELSEWHERE = "training on another CPU ends elsewhere"
table("results", rows, tolerance=wide, because=ELSEWHERE)
lost, gained, p = paired(logits[7], logits[3], labels)
record(lost=lost, gained=gained, tolerance=120, because=ELSEWHERE)
record(p=p, tolerance=1, because=ELSEWHERE)
change = rows[7]["accuracy %"] - rows[3]["accuracy %"]
assert abs(change) < 1.5  # at 8 bits QAT gains nothing over its control
