"""Eager mode: quantization aware training.

The refactored running example is fused in train mode, prepared with fake quantizers, trained for 40
batches in which first batch normalization and then the observers are frozen, and converted.
Source: the docstrings of torch.ao.quantization, PyTorch 2.13; the order of freezing is that of
pytorch/vision, references/classification/train_quantization.py.
"""

# %% load
import warnings

import torch
from torch.ao.nn.intrinsic.qat import freeze_bn_stats
from torch.ao.quantization import (
    convert,
    disable_observer,
    fuse_modules_qat,
    get_default_qat_qconfig,
    prepare_qat,
)
from torch.nn import functional as F

from handbook.data import fashion_mnist
from handbook.eager_example import load_eager_example, modules_to_fuse
from handbook.running_example import load_running_example, predict

# Three deprecation notices, which the page on static quantization explains.
warnings.filterwarnings("ignore", "torch.ao.quantization is deprecated")
warnings.filterwarnings("ignore", "Please use quant_min and quant_max")
warnings.filterwarnings("ignore", "torch.quantize_per_tensor, torch.quantize_per_channel")
torch.set_num_threads(1)  # more threads sum in another order, and training ends elsewhere

train_images, train_labels = map(torch.from_numpy, fashion_mnist("train"))
test_images, labels = fashion_mnist("test")

# %% prepare
torch.backends.quantized.engine = "x86"
model = load_eager_example().train()
fused = fuse_modules_qat(model, modules_to_fuse(model))
fused.qconfig = get_default_qat_qconfig("x86")
prepared = prepare_qat(fused)
print(prepared.stem.conv)

# %% train
torch.manual_seed(0)
optimizer = torch.optim.SGD(prepared.parameters(), 0.001, momentum=0.9)
batches = torch.randperm(len(train_images))[:5120].split(128)
for step, batch in enumerate(batches):
    if step == 20:  # from here on with the statistics that convert folds into the weights
        prepared.apply(freeze_bn_stats)
    if step == 30:  # and with the ranges that the int8 model will have
        prepared.apply(disable_observer)
    logits = prepared(train_images[batch])
    loss = F.cross_entropy(logits, train_labels[batch], label_smoothing=0.1)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

# %% convert
prepared.eval()
fake_logits = predict(prepared, test_images)
quantized = convert(prepared)
print(quantized.stem.conv)

# %% results
from handbook.measure import score
from handbook.record import table

float_logits = predict(load_running_example(), test_images)
logits = predict(quantized, test_images)
runs = {"float32, not trained further": float_logits}
runs |= {"trained, fake-quantized": fake_logits, "trained, int8": logits}
rows = [{"model": run} | score(o, labels, float_logits) for run, o in runs.items()]
TRAINING = "training on another CPU ends elsewhere"
wide = {"accuracy %": 2, "95 % interval": 2, "same answer as float %": 3}
table("results", rows, tolerance=wide, because=TRAINING)
assert rows[2]["accuracy %"] > rows[0]["accuracy %"] - 1.5
