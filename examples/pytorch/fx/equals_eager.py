"""FX equals eager mode, to the last bit, once both observe the same values.

The running example converted by both, static and after training, on all 10 000 test images. FX
lets a concatenation and what it joins share an observer; eager mode has to be told.
Source: run with torch.ao.quantization of PyTorch 2.13.
"""

# %% load
import warnings

import torch
from torch.ao import quantization as aoq
from torch.ao.quantization.fake_quantize import disable_observer
from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx, prepare_qat_fx

from handbook.data import fashion_mnist
from handbook.eager_example import load_eager_example, modules_to_fuse
from handbook.qat import train
from handbook.running_example import load_running_example, predict

warnings.simplefilter("ignore")  # the deprecation notices of both modes
torch.set_num_threads(1)
calibration_images = fashion_mnist("train")[0][:1000]
test_images, labels = fashion_mnist("test")
example_inputs = (torch.from_numpy(test_images[:1]),)


# %% fx
def fx(engine, qat):
    if qat:
        mapping = aoq.get_default_qat_qconfig_mapping(engine)
        prepared = prepare_qat_fx(load_running_example().train(), mapping, example_inputs)
        train(prepared, seed=0, rate=0.002, count=640).apply(disable_observer)
    else:
        mapping = aoq.get_default_qconfig_mapping(engine)
        prepared = prepare_fx(load_running_example(), mapping, example_inputs)
        predict(prepared, calibration_images)
    return convert_fx(prepared)


# %% share
def share_as_fx_does(prepared):
    """One observer for both branches, their concatenation and its mean."""
    shared = prepared.cat.activation_post_process
    prepared.branch1x1.conv.activation_post_process = shared
    prepared.branch3x3.conv.activation_post_process = shared
    return prepared.classifier.register_forward_pre_hook(lambda layer, x: (shared(x[0]),))


# %% eager
def eager(engine, qat, share):
    model = load_eager_example().train(qat)
    if qat:
        fused = aoq.fuse_modules_qat(model, modules_to_fuse(model))
        fused.qconfig = aoq.get_default_qat_qconfig(engine)
        prepared = aoq.prepare_qat(fused)
    else:
        fused = aoq.fuse_modules(model, modules_to_fuse(model))
        fused.qconfig = aoq.get_default_qconfig(engine)
        prepared = aoq.prepare(fused)
    hook = share_as_fx_does(prepared) if share else None
    if qat:
        train(prepared, seed=0, rate=0.002, count=640).apply(disable_observer)
    else:
        predict(prepared, calibration_images)
    if hook:
        hook.remove()
    return aoq.convert(prepared)


# %% results
from handbook.measure import accuracy, agreement
from handbook.record import record, table

rows = []
for engine in ("x86", "onednn"):
    torch.backends.quantized.engine = engine
    for qat in (False, True):
        outputs = predict(fx(engine, qat), test_images)
        for share in (False, True):
            others = predict(eager(engine, qat, share), test_images)
            row = {"engine": engine, "method": "QAT" if qat else "static"}
            row["observers in eager mode"] = "shared as in FX" if share else "its own"
            row["FX accuracy %"] = accuracy(outputs, labels).percent
            row["same answer %"] = agreement(outputs, others)
            row["identical outputs %"] = round(100 * float((outputs == others).mean()), 2)
            rows.append(row)
            assert not share or (outputs == others).all()  # to the last bit
wide = {"FX accuracy %": 2, "same answer %": 3, "identical outputs %": 25}
table("results", rows, tolerance=wide, because="kernels and training differ between CPUs")
record(outputs=outputs.size)
