"""Eager mode, step by step: what prepare, training and convert change.

Each step is compared with the one before it, on all 10 000 test images: float to observed, observed
to int8, float to trained, trained to int8.
Source: torch.ao.quantization of PyTorch 2.13.
"""

# %% load
import copy
import warnings

import torch
from torch.ao.quantization import (
    convert,
    disable_observer,
    fuse_modules,
    fuse_modules_qat,
    get_default_qat_qconfig,
    get_default_qconfig,
    prepare,
    prepare_qat,
)

from handbook.data import fashion_mnist
from handbook.eager_example import load_eager_example, modules_to_fuse
from handbook.qat import train
from handbook.running_example import predict

warnings.simplefilter("ignore")  # the deprecation notices that ptq_static.py names
torch.set_num_threads(1)
torch.backends.quantized.engine = "x86"
calibration_images = fashion_mnist("train")[0][:1000]
test_images, labels = fashion_mnist("test")

# %% ptq
model = load_eager_example()
fused = fuse_modules(model, modules_to_fuse(model))
fused.qconfig = get_default_qconfig("x86")
observed = prepare(fused)
predict(observed, calibration_images)
int8 = convert(observed)

# %% qat
model = load_eager_example().train()
fused = fuse_modules_qat(model, modules_to_fuse(model))
fused.qconfig = get_default_qat_qconfig("x86")
trained = train(prepare_qat(fused), seed=0, rate=0.001, count=2560)
trained.apply(disable_observer)
trained_int8 = convert(copy.deepcopy(trained))

# %% results
from handbook.conversions import conversions, parity

models = [load_eager_example(), observed, int8, trained, trained_int8]
before, after, converted, learned, learned_int8 = (predict(m, test_images) for m in models)
steps = {
    ("PyTorch eager, float", "PyTorch eager, observed", "prepare"): (after, before, None),
    ("PyTorch eager, observed", "PyTorch eager, int8", "convert"): (converted, after, None),
    ("PyTorch eager, float", "PyTorch eager, QAT", "prepare_qat, training"): (
        learned,
        before,
        None,
    ),
    ("PyTorch eager, QAT", "PyTorch eager, int8", "convert"): (
        learned_int8,
        learned,
        trained_int8.classifier.scale,
    ),
}
rows = {step: parity(to, of, labels, scale=scale) for step, (to, of, scale) in steps.items()}
conversions(rows, because="kernels and training differ between CPUs")
prepare_step, *_, convert_step = rows.values()
assert prepare_step["largest difference"] < 1e-4  # observers only look
assert convert_step["same answer %"] > 97
