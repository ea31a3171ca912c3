"""Eager, FX and PT2E side by side: static, dynamic, and quantization aware training.

The running example, each mode with its own default recipe for x86.
Source: torch.ao.quantization of PyTorch 2.13, and torchao.quantization.pt2e of torchao 0.18.
"""

# %% load
import logging
import warnings

import torch
from torch.ao import quantization as aoq
from torch.ao.quantization import quantize_fx

from handbook.data import fashion_mnist
from handbook.eager_example import load_eager_example, modules_to_fuse
from handbook.qat import train
from handbook.running_example import load_running_example, predict

warnings.simplefilter("ignore")  # the deprecation notices of eager mode and FX
logging.disable(logging.WARNING)  # torchao mentions the GPU kernels that it does not find
from torchao.quantization import pt2e
from torchao.quantization.pt2e import quantize_pt2e
from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

torch.set_num_threads(1)
torch.backends.quantized.engine = "x86"
calibration_images = fashion_mnist("train")[0][:1000]
example_inputs = (torch.from_numpy(calibration_images[:2]),)
TRAINING = {"seed": 0, "rate": 0.001, "count": 2560}  # 20 batches


# %% eager
def eager(method):
    if method == "dynamic":
        return aoq.quantize_dynamic(load_running_example())  # no refactoring, no fusion
    model = load_eager_example().train(method == "QAT")
    if method == "static":
        fused = aoq.fuse_modules(model, modules_to_fuse(model))
        fused.qconfig = aoq.get_default_qconfig("x86")
        prepared = aoq.prepare(fused)
        predict(prepared, calibration_images)
        return aoq.convert(prepared)
    fused = aoq.fuse_modules_qat(model, modules_to_fuse(model))
    fused.qconfig = aoq.get_default_qat_qconfig("x86")
    return aoq.convert(train(aoq.prepare_qat(fused), **TRAINING))


# %% fx
def fx(method):
    model = load_running_example().train(method == "QAT")
    if method == "QAT":
        mapping = aoq.get_default_qat_qconfig_mapping("x86")
        prepared = quantize_fx.prepare_qat_fx(model, mapping, example_inputs)
        return quantize_fx.convert_fx(train(prepared, **TRAINING))
    mapping = aoq.get_default_qconfig_mapping("x86")
    if method == "dynamic":
        mapping = aoq.QConfigMapping().set_object_type(torch.nn.Linear, aoq.default_dynamic_qconfig)
    prepared = quantize_fx.prepare_fx(model, mapping, example_inputs)
    predict(prepared, calibration_images)  # which a dynamic model does not look at
    return quantize_fx.convert_fx(prepared)


# %% pt2e
def pt2e_x86(method):
    model = load_running_example().train(method == "QAT")
    any_batch = ({0: torch.export.Dim("batch")},)
    exported = torch.export.export(model, example_inputs, dynamic_shapes=any_batch).module()
    kind = {"is_qat": method == "QAT", "is_dynamic": method == "dynamic"}
    quantizer = x86.X86InductorQuantizer()
    quantizer.set_global(x86.get_default_x86_inductor_quantization_config(**kind))
    if method == "QAT":
        prepared = quantize_pt2e.prepare_qat_pt2e(exported, quantizer)
        train(pt2e.allow_exported_model_train_eval(prepared), **TRAINING)
        return quantize_pt2e.convert_pt2e(prepared)
    prepared = quantize_pt2e.prepare_pt2e(exported, quantizer)
    predict(prepared, calibration_images)
    return quantize_pt2e.convert_pt2e(prepared)


# %% results
from handbook.measure import SCORE_TOLERANCE, agreement, file_size_kib, score
from handbook.record import artifact, table

test_images, labels = fashion_mnist("test")
step = eager("static").classifier.scale  # of eager mode's static output: one LSB below
float_logits, of, rows = predict(load_running_example(), test_images), {}, []
for method in ("static", "dynamic", "QAT"):
    for mode, quantize in {"eager": eager, "FX": fx, "PT2E": pt2e_x86}.items():
        of[mode] = logits = predict(model := quantize(method), test_images)
        torch.save(model.state_dict(), path := artifact(f"pytorch/methods/{mode}-{method}.pt"))
        row = {"method": method, "mode": mode} | score(logits, labels, float_logits)
        row["same answer as eager %"] = agreement(logits, of["eager"])
        row["largest difference, LSB"] = round(float(abs(logits - of["eager"]).max() / step))
        rows.append(row | {"size KiB": round(file_size_kib(path))})
tolerance = dict.fromkeys([*SCORE_TOLERANCE["tolerance"], "same answer as eager %", "size KiB"], 2)
tolerance["largest difference, LSB"] = 60
table("results", rows, tolerance=tolerance, because="kernels and training differ between CPUs")
assert all(row["accuracy %"] > 89 for row in rows)
assert rows[4]["largest difference, LSB"] == 0  # the dynamic models of eager mode and FX
