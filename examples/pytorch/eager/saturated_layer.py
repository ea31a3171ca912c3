"""Eager mode: the saturating sums of FBGEMM without VNNI, redone in NumPy.

One layer with 8-bit activations: sums of two products clipped to int16 give FBGEMM's outputs to the
bit, exact sums do not. With 7 bits nothing is ever clipped.
Source: pytorch/pytorch#44939; FBGEMM's src/Utils.cc for the environment variable.
"""

# %% load
import os

os.environ["FBGEMM_ENABLE_INSTRUCTIONS"] = "AVX2"  # before the first quantized layer

import warnings

import numpy as np
import torch
from torch.ao import quantization as tq

from handbook.data import fashion_mnist
from handbook.eager_example import load_eager_example, modules_to_fuse
from handbook.running_example import predict

warnings.simplefilter("ignore")  # the deprecation notices that ptq_static.py names
torch.backends.quantized.engine = "fbgemm"
calibration_images = fashion_mnist("train")[0][:1000]
test_images = fashion_mnist("test")[0][:100]


# %% quantize
def quantized(reduce_range):
    model = load_eager_example()
    fused = tq.fuse_modules(model, modules_to_fuse(model))
    activation = tq.HistogramObserver.with_args(reduce_range=reduce_range)
    fused.qconfig = tq.QConfig(activation, tq.default_per_channel_weight_observer)
    prepared = tq.prepare(fused)
    predict(prepared, calibration_images)
    return tq.convert(prepared)


models = {"7 bits": quantized(reduce_range=True), "8 bits": quantized(reduce_range=False)}

# %% pairs
pairs, kept = {}, {}
for bits, model in models.items():
    conv = model.branch1x1.conv  # a 1x1 convolution: a matrix product at each pixel
    conv.register_forward_hook(lambda m, x, y, bits=bits: kept.update({bits: (x[0], y)}))
    predict(model, test_images)
    a = kept[bits][0].int_repr().permute(0, 2, 3, 1).reshape(-1, 64).numpy().astype(np.int32)
    w = conv.weight().int_repr().reshape(48, 64).numpy().astype(np.int32)
    products = a[:, None] * w  # (pixels, output channels, input channels)
    pairs[bits] = products[..., 0::2] + products[..., 1::2]
    print(f"{bits}: sums of a pair {pairs[bits].min()} to {pairs[bits].max()}")
print("at most possible: 7 bits", 2 * 127 * 128, "and 8 bits", 2 * 255 * 128)
assert np.abs(pairs["7 bits"]).max() < 32767 < pairs["8 bits"].max()

# %% layer
input_of_conv, output = kept["8 bits"]
conv = models["8 bits"].branch1x1.conv
accumulator_scale = np.float32(
    input_of_conv.q_scale() * conv.weight().q_per_channel_scales().numpy()
)


def finish(sums):  # subtract the zero point, add the bias, rescale, round, ReLU
    sums = sums - input_of_conv.q_zero_point() * conv.weight().int_repr().sum((1, 2, 3)).numpy()
    real = sums.astype(np.float32) + conv.bias().detach().numpy() / accumulator_scale
    return np.rint(real * (accumulator_scale / np.float32(conv.scale))).clip(0, 255)


fbgemm = output.int_repr().permute(0, 2, 3, 1).reshape(-1, 48).numpy()
saturating = finish(pairs["8 bits"].clip(-32768, 32767).sum(2))
exact = finish(pairs["8 bits"].sum(2))
for name, values in (("pairs clipped to int16", saturating), ("exact sums", exact)):
    steps = np.abs(values - fbgemm)
    print(f"{name}: equal {100 * (steps == 0).mean():.3f} %, at most {steps.max():.0f} steps off")

# %% picture
from handbook.figure import figure, plt
from handbook.record import record

fig, ax = plt.subplots()
edges = np.linspace(-52000, 52000, 105)
for bits, color in (("8 bits", "C1"), ("7 bits", "C0")):
    ax.hist(pairs[bits].ravel(), edges, histtype="step", color=color, linewidth=1.8, label=bits)
for limit in (-32768, 32767):
    ax.axvline(limit, color="black", linestyle="--", linewidth=1)
ax.set(yscale="log", xlabel="sum of two products", ylabel="pairs")
ax.set_xticks([-32768, 0, 32767])
ax.legend(title="activations", loc="lower center")
figure("pairs", fig)

# %% numbers
clipped = (np.abs(pairs["8 bits"]) > 32767).mean()
CPUS = "ranges follow float32 sums, which differ between CPUs"
record(clipped=round(100 * clipped, 3), tolerance=0.1, because=CPUS)
record(changed=round(100 * (exact != fbgemm).mean(), 2), tolerance=1, because=CPUS)
assert np.array_equal(saturating, fbgemm) and not np.array_equal(exact, fbgemm)
