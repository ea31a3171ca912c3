"""Eager, FX and PT2E side by side: static, dynamic, and quantization aware training.

Each with its default recipe for x86. Source: torch.ao.quantization of PyTorch 2.13; torchao 0.18.
"""

# %% load
import json
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
calibration_images, (test_images, labels) = fashion_mnist("train")[0][:1000], fashion_mnist("test")
example_inputs = (torch.from_numpy(calibration_images[:2]),)
ANY_BATCH = ({0: torch.export.Dim("batch")},)
TRAINING = {"seed": 0, "rate": 0.001, "count": 2560}  # 20 batches


# %% eager
def eager(method):
    if method == "dynamic":
        return aoq.quantize_dynamic(load_running_example())  # no refactoring, no fusion
    model = load_eager_example().train(method == "QAT")
    if method == "static":
        fused = aoq.fuse_modules(model, modules_to_fuse(model))
        fused.qconfig = aoq.get_default_qconfig("x86")
        predict(prepared := aoq.prepare(fused), calibration_images)
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
    predict(prepared := quantize_fx.prepare_fx(model, mapping, example_inputs), calibration_images)
    return quantize_fx.convert_fx(prepared)


# %% pt2e
def pt2e_x86(method):
    model = load_running_example().train(method == "QAT")
    exported = torch.export.export(model, example_inputs, dynamic_shapes=ANY_BATCH).module()
    kind = {"is_qat": method == "QAT", "is_dynamic": method == "dynamic"}
    config = x86.get_default_x86_inductor_quantization_config(**kind)
    quantizer = x86.X86InductorQuantizer().set_global(config)
    if method == "QAT":
        prepared = quantize_pt2e.prepare_qat_pt2e(exported, quantizer)
        train(pt2e.allow_exported_model_train_eval(prepared), **TRAINING)
    else:
        predict(prepared := quantize_pt2e.prepare_pt2e(exported, quantizer), calibration_images)
    return quantize_pt2e.convert_pt2e(prepared)


# %% results
from handbook.measure import SCORE_TOLERANCE, agreement, file_size_kib, score
from handbook.record import TIMING, artifact, table

step = eager("static").classifier.scale  # of eager mode's static output: one LSB below
times_as_fast = json.loads(artifact("pytorch/methods_latency/times_as_fast.json").read_text())
modes = {"eager": eager, "FX": fx, "PT2E": pt2e_x86}
float_logits, rows = predict(load_running_example(), test_images), []
for method in ("static", "dynamic", "QAT"):
    models = {mode: quantize(method) for mode, quantize in modes.items()}
    logits = {mode: predict(model, test_images) for mode, model in models.items()}
    for mode, model in models.items():
        torch.save(model.state_dict(), path := artifact(f"pytorch/methods/{mode}-{method}.pt"))
        row = {"method": method, "mode": mode} | score(logits[mode], labels, float_logits)
        row["same answer as eager %"] = agreement(logits[mode], logits["eager"])
        for other in ("eager", "FX"):
            row[f"from {other}, LSB"] = round(float(abs(logits[mode] - logits[other]).max() / step))
        row |= {"size KiB": round(file_size_kib(path))}
        rows.append(row | {"times as fast as float": times_as_fast[f"{mode}, {method}"]})
tolerance = dict.fromkeys([*SCORE_TOLERANCE["tolerance"], "same answer as eager %", "size KiB"], 2)
tolerance |= {"times as fast as float": TIMING, "from eager, LSB": 60, "from FX, LSB": 60}
table("results", rows, tolerance=tolerance, because="kernels and training differ between CPUs")
assert min(row["accuracy %"] for row in rows) > 89 and rows[4]["from eager, LSB"] == 0  # dynamic
