"""A custom observer: the median of the batches' ranges, which one bad image cannot move.

It is written once for FX and once for PT2E, and quantizes the running example after calibration
with an image that was not normalized.
Source: the base classes, MinMaxObserver of torch.ao.quantization and of torchao's pt2e.
"""

# %% load
import logging
import warnings

import torch
from torch.ao.quantization import MinMaxObserver, PerChannelMinMaxObserver, QConfig, QConfigMapping
from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

from handbook.data import MEAN, STD, fashion_mnist
from handbook.running_example import load_running_example, predict

logging.disable(logging.WARNING)  # torchao mentions the GPU kernels that it does not find
from torchao.quantization import pt2e
from torchao.quantization.pt2e.quantize_pt2e import prepare_pt2e
from torchao.quantization.pt2e.quantizer import QuantizationConfig, QuantizationSpec
from torchao.quantization.pt2e.quantizer.x86_inductor_quantizer import X86InductorQuantizer

for message in ("torch.ao.quantization is deprecated", "torch.quantize_per_tensor"):
    warnings.filterwarnings("ignore", message)
torch.set_num_threads(1)
torch.backends.quantized.engine = "x86"
model = load_running_example()
images = fashion_mnist("train")[0][:1000]
images[525] = images[525] * STD + MEAN  # 0 to 255: somebody forgot to normalize it
batches = torch.from_numpy(images).split(50)


# %% median_observer
class Median:
    """Keep the ends of every batch's range, and take the median of each."""

    def __init__(self, **options):
        super().__init__(**options)
        self.ends = []

    def forward(self, x):
        self.ends.append(torch.stack(x.detach().aminmax()))
        self.min_val, self.max_val = torch.stack(self.ends).median(dim=0).values
        return x  # calculate_qparams is inherited, and reads min_val and max_val


class MedianObserver(Median, MinMaxObserver):
    """For eager mode and FX."""


class TorchaoMedianObserver(Median, pt2e.MinMaxObserver):
    """For PT2E, which takes no observer of torch.ao."""


# %% fx
weight = PerChannelMinMaxObserver.with_args(
    dtype=torch.qint8, qscheme=torch.per_channel_symmetric, quant_min=-64, quant_max=63
)  # 7 bits: without VNNI, the sum of two products of 8 bits overflows 16
quantized, scales = {}, {}
for observer in (MinMaxObserver, MedianObserver):
    qconfig = QConfig(activation=observer.with_args(dtype=torch.quint8), weight=weight)
    mapping = QConfigMapping().set_global(qconfig)
    prepared = prepare_fx(load_running_example(), mapping, (batches[0],))
    for batch in batches:
        prepared(batch)
    scales[observer.__name__], _ = prepared.activation_post_process_1.calculate_qparams()
    quantized[observer.__name__] = convert_fx(prepared)

# %% results
from handbook.measure import score
from handbook.record import table

test_images, labels = fashion_mnist("test")
float_logits = predict(model, test_images)
rows = [{"activations observed by": "none: float32"} | score(float_logits, labels, float_logits)]
for name, int8 in quantized.items():
    logits = predict(int8, test_images)
    rows.append({"activations observed by": name} | score(logits, labels, float_logits))
wide = {"accuracy %": 10, "95 % interval": 10, "same answer as float %": 10}
table("results", rows, tolerance=wide, because="a ruined network answers at random")
assert rows[1]["accuracy %"] < 50 and rows[2]["accuracy %"] > rows[0]["accuracy %"] - 1.5

# %% pt2e
activation = QuantizationSpec(
    torch.uint8, TorchaoMedianObserver, quant_min=0, quant_max=255, qscheme=torch.per_tensor_affine
)
config = QuantizationConfig(activation, activation, weight=None, bias=None)  # activations alone
exported = torch.export.export(model, (batches[0],)).module()
prepared = prepare_pt2e(exported, X86InductorQuantizer().set_global(config))
for batch in batches:
    prepared(batch)
stem = next(node for node in prepared.graph.nodes if node.name == "relu")
scale, _ = prepared.get_submodule(next(iter(stem.users)).target).calculate_qparams()
print("after the stem, FX and PT2E:", scales["MedianObserver"].item(), scale.item())
assert torch.equal(scale, scales["MedianObserver"])
