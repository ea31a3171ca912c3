"""FX mode, step by step: what tracing, prepare, training and convert change.

Each step is compared with the one before it, on all 10 000 test images: eager float to FX float,
float to observed, observed to int8, float to trained, trained to int8.
Source: torch.ao.quantization.quantize_fx of PyTorch 2.13.
"""

# %% load
import copy
import warnings

import torch
from torch.ao.quantization import (
    FakeQuantize,
    QConfig,
    QConfigMapping,
    disable_observer,
    get_default_qconfig_mapping,
)
from torch.ao.quantization import MovingAverageMinMaxObserver as PerTensor
from torch.ao.quantization import MovingAveragePerChannelMinMaxObserver as PerChannel
from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx, prepare_qat_fx

from handbook.data import fashion_mnist
from handbook.qat import train
from handbook.running_example import load_running_example, predict

warnings.simplefilter("ignore")  # the deprecation notices that ptq_static.py names
torch.set_num_threads(1)
torch.backends.quantized.engine = "x86"
calibration_images = fashion_mnist("train")[0][:1000]
test_images, labels = fashion_mnist("test")
example_inputs = (torch.from_numpy(calibration_images[:1]),)

# %% float
traced = torch.fx.symbolic_trace(load_running_example())

# %% ptq
observed = prepare_fx(load_running_example(), get_default_qconfig_mapping("x86"), example_inputs)
predict(observed, calibration_images)
int8 = convert_fx(copy.deepcopy(observed))

# %% qat
activation = {"observer": PerTensor, "quant_min": 0, "quant_max": 127, "dtype": torch.quint8}
weight = {"observer": PerChannel, "quant_min": -128, "quant_max": 127, "dtype": torch.qint8}
qconfig = QConfig(
    activation=FakeQuantize.with_args(**activation),  # 7 bits, as the engine's default
    weight=FakeQuantize.with_args(**weight, qscheme=torch.per_channel_symmetric),
)
mapping = QConfigMapping().set_global(qconfig)  # the plain class: one formula for the scale
prepared = prepare_qat_fx(load_running_example().train(), mapping, example_inputs)
trained = train(prepared, seed=0, rate=0.001, count=2560)
trained.apply(disable_observer)
trained_int8 = convert_fx(copy.deepcopy(trained))

# %% results
from handbook.conversions import conversions, parity

models = [load_running_example(), traced, observed, int8, trained, trained_int8]
eager, fx, after, converted, learned, learned_int8 = (predict(m, test_images) for m in models)
scale = trained_int8.classifier.scale
rows = {
    ("PyTorch eager, float", "PyTorch FX, float", "symbolic_trace"): parity(fx, eager, labels),
    ("PyTorch FX, float", "PyTorch FX, observed", "prepare_fx"): parity(after, fx, labels),
    ("PyTorch FX, observed", "PyTorch FX, int8", "convert_fx"): parity(converted, after, labels),
    ("PyTorch FX, float", "PyTorch FX, QAT", "prepare_qat_fx, training"): parity(
        learned, fx, labels
    ),
    ("PyTorch FX, QAT", "PyTorch FX, int8", "convert_fx"): parity(
        learned_int8, learned, labels, scale
    ),
}
conversions(rows, because="kernels and training differ between CPUs")
trace, prepare, *_, convert = rows.values()
assert trace["identical outputs %"] == 100
assert prepare["largest difference"] < 1e-4  # observers only look
assert convert["same answer %"] > 97
