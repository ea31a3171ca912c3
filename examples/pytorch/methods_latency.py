"""Eager, FX and PT2E: latency of static and dynamic quantization, by engine.

100 images, one thread, against float with batch normalization folded and channels last, in turns.
Source: torch.ao.quantization of PyTorch 2.13; torchao's X86InductorQuantizer, with Inductor.
"""

# %% load
import copy
import json
import logging
import warnings
from functools import partial

import torch
from torch.ao import quantization as aoq
from torch.ao.quantization import quantize_fx
from torch.fx.experimental.optimization import fuse

from handbook.data import fashion_mnist
from handbook.eager_example import load_eager_example, modules_to_fuse
from handbook.running_example import load_running_example, predict

warnings.simplefilter("ignore")  # the deprecation notices of eager mode and FX
logging.disable(logging.WARNING)  # torchao mentions the GPU kernels that it does not find
from torch._inductor import config
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

torch.set_num_threads(1)
config.freezing = True
calibration_images = fashion_mnist("train")[0][:1000]
last = {"memory_format": torch.channels_last}
images = torch.from_numpy(fashion_mnist("test")[0][:100]).contiguous(**last)
folded = fuse(load_running_example()).to(**last)


# %% eager
def eager(engine, dynamic):
    if dynamic:
        return aoq.quantize_dynamic(folded)  # float but for the classifier
    fused = aoq.fuse_modules(load_eager_example(), modules_to_fuse(load_eager_example()))
    fused.qconfig = aoq.get_default_qconfig(engine)
    predict(prepared := aoq.prepare(fused), calibration_images)
    return aoq.convert(prepared)


# %% fx
def fx(engine, dynamic):
    model, mapping = load_running_example(), aoq.get_default_qconfig_mapping(engine)
    if dynamic:
        model = copy.deepcopy(folded)
        mapping = aoq.QConfigMapping().set_object_type(torch.nn.Linear, aoq.default_dynamic_qconfig)
    predict(prepared := quantize_fx.prepare_fx(model, mapping, (images[:1],)), calibration_images)
    return quantize_fx.convert_fx(prepared)


# %% pt2e
def pt2e(dynamic):
    exported = torch.export.export(load_running_example(), (images,)).module()
    options = x86.get_default_x86_inductor_quantization_config(is_dynamic=dynamic)
    quantizer = x86.X86InductorQuantizer().set_global(options)
    prepared = prepare_pt2e(exported, quantizer)
    for batch in torch.from_numpy(calibration_images).split(100):
        prepared(batch)
    return torch.compile(convert_pt2e(prepared), dynamic=False)


# %% latency
from handbook.measure import has_int8_dot_product, latency, speedup
from handbook.record import TIMING, artifact, table


def run(engine, model, batch):
    torch.backends.quantized.engine = engine  # some operations ask for it at each call
    return model(batch)


FLOAT = ("float32", "", "")
calls = {FLOAT: partial(folded, images)}
for dynamic in (False, True):
    method = "dynamic" if dynamic else "static, QAT"
    for engine in ("x86", "onednn") if dynamic else ("x86", "fbgemm", "onednn", "qnnpack"):
        torch.backends.quantized.engine = engine
        for mode, quantize in {"eager": eager, "FX": fx}.items():
            calls[method, mode, engine] = partial(run, engine, quantize(engine, dynamic), images)
    calls[method, "PT2E", "Inductor"] = partial(pt2e(dynamic), images)
with torch.no_grad():
    times = latency(calls, rounds=30)
rows, by_mode = [], {}
for (method, mode, engine), time in times.items():
    row = {"method": method, "mode": mode, "engine": engine, "median ms": round(time.median_ms, 2)}
    rows.append(row | {"times as fast as float": speedup(times[FLOAT], time)})
    for of in method.split(", "):  # static and QAT have the same kernels
        by_mode.setdefault(f"{mode}, {of}", []).append(f"{engine} {speedup(times[FLOAT], time)}")
table("latency", rows, tolerance=dict.fromkeys(["median ms", "times as fast as float"], TIMING))
by_mode = json.dumps({mode: ", ".join(found) for mode, found in by_mode.items()})
artifact("pytorch/methods_latency/times_as_fast.json").write_text(by_mode)
if has_int8_dot_product():
    for key in (("eager", "onednn"), ("FX", "onednn"), ("PT2E", "Inductor")):
        assert speedup(times[FLOAT], times["static, QAT", *key]) > 1.1
