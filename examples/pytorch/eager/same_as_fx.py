"""Eager mode and FX graph mode, to the bit.

Both give the same int8 model where both observe the same tensors. One difference is to be removed:
FX shares one observer among the inputs and the output of a concatenation.
Source: run with torch.ao.quantization of PyTorch 2.13.
"""

# %% load
import warnings

import numpy as np
import torch
from torch.ao.quantization import (
    MinMaxObserver,
    QConfig,
    QConfigMapping,
    convert,
    default_per_channel_weight_observer,
    fuse_modules,
    prepare,
)
from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

from handbook.data import fashion_mnist
from handbook.eager_example import load_eager_example, modules_to_fuse
from handbook.running_example import load_running_example, predict

warnings.simplefilter("ignore")  # the deprecation notices that ptq_static.py names
calibration_images = fashion_mnist("train")[0][:500]
test_images = fashion_mnist("test")[0][:2000]
activation = MinMaxObserver.with_args(quant_min=0, quant_max=127)  # 7 bits: nothing saturates
qconfig = QConfig(activation, default_per_channel_weight_observer)


# %% eager
def eager(share):
    model = load_eager_example()
    fused = fuse_modules(model, modules_to_fuse(model))
    fused.qconfig = qconfig
    prepared = prepare(fused)
    if share:  # as FX does: the branches get the scale of their concatenation
        observer = prepared.cat.activation_post_process
        prepared.branch1x1.conv.activation_post_process = observer
        prepared.branch3x3.conv.activation_post_process = observer
    predict(prepared, calibration_images)
    return convert(prepared)


# %% fx
def fx():
    mapping = QConfigMapping().set_global(qconfig)
    example_inputs = (torch.from_numpy(test_images[:1]),)
    prepared = prepare_fx(load_running_example(), mapping, example_inputs)
    predict(prepared, calibration_images)
    return convert_fx(prepared)


# %% compare
from handbook.measure import agreement, lsb_difference
from handbook.record import table

rows = []
for engine in ("x86", "fbgemm", "onednn", "qnnpack"):
    torch.backends.quantized.engine = engine
    fx_model = fx()
    fx_logits = predict(fx_model, test_images)
    for share in (False, True):
        logits = predict(eager(share), test_images)
        row = {"engine": engine, "eager mode": "shared observer" if share else "as it is"}
        row["same answer as FX %"] = agreement(logits, fx_logits)
        row["identical logits %"] = round(100 * float((logits == fx_logits).mean()), 2)
        row["at most LSB"] = lsb_difference(logits, fx_logits, fx_model.classifier.scale)
        assert np.array_equal(logits, fx_logits) or not share
        rows.append(row)
wide = {"same answer as FX %": 2, "identical logits %": 30, "at most LSB": 2}
table("results", rows, tolerance=wide, because="kernels of other CPUs; the shared rows are exact")
