"""The running example in PyTorch: static, dynamic and weight-only.

FX graph mode for the first two, fake quantization of the weights for the third: accuracy, size,
latency, which layers become int8, and the parameters of the classifier's input for five images.
Source: torch.ao.quantization of PyTorch 2.13.
"""

# %% load
import copy
import warnings

import torch
from torch.ao.quantization import get_default_qconfig_mapping, quantize_dynamic
from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx
from torch.fx.experimental.optimization import fuse

from handbook.data import fashion_mnist
from handbook.record import artifact
from handbook.running_example import load_running_example, predict

warnings.simplefilter("ignore")  # the deprecation notices that the FX page explains
torch.set_num_threads(1)
torch.backends.quantized.engine = "x86"
test_images, labels = fashion_mnist("test")
model = fuse(load_running_example())  # batch normalization folded: what a runtime would run

# %% static
example_inputs = (torch.from_numpy(test_images[:1]),)
mapping = get_default_qconfig_mapping("x86")
prepared = prepare_fx(load_running_example(), mapping, example_inputs)
predict(prepared, fashion_mnist("train")[0][:1000])
static = convert_fx(prepared)

# %% dynamic
dynamic = quantize_dynamic(copy.deepcopy(model), dtype=torch.qint8)
print(dynamic.classifier, dynamic.stem.conv, sep="\n")
assert type(dynamic.stem.conv) is torch.nn.Conv2d  # float, as are all ten convolutions

# %% weight_only
weight_only = copy.deepcopy(model)
with torch.no_grad():
    for w in weight_only.parameters():
        if w.dim() > 1:  # no bias
            scale = w.abs().flatten(1).amax(1).clamp(min=1e-9) / 127  # of each output channel
            zero_point = torch.zeros(len(w), dtype=torch.int32)
            w.copy_(torch.fake_quantize_per_channel_affine(w, scale, zero_point, 0, -127, 127))

# %% results
from functools import partial

from handbook.measure import SCORE_TOLERANCE, file_size_kib, latency, score, speedup
from handbook.record import TIMING, record, table

models = {"float32": model, "static": static, "dynamic": dynamic}
times = {}
for count in (1, 32):
    images = torch.from_numpy(test_images[:count])
    # Copies: a quantized layer may keep a kernel for the first shape that it meets.
    calls = {name: partial(copy.deepcopy(m), images) for name, m in models.items()}
    with torch.inference_mode():
        times[count] = latency(calls, rounds=30)
float_logits = predict(model, test_images)
rows = []
for name, m in models.items():
    torch.save(m.state_dict(), path := artifact(f"static_dynamic/differences_pytorch/{name}.pt"))
    row = {"model": name} | score(predict(m, test_images), labels, float_logits)
    row["size KiB"] = round(file_size_kib(path))  # a few bytes depend on the file's name
    for count, of in times.items():
        row[f"times as fast, {count} at once"] = speedup(of["float32"], of[name])
    rows.append(row)
timing = {column: TIMING for column in rows[0] if column.startswith("times")}
tolerance = SCORE_TOLERANCE["tolerance"] | {"size KiB": 2} | timing
table("results", rows, tolerance=tolerance, because=SCORE_TOLERANCE["because"])
simulated = score(predict(weight_only, test_images), labels, float_logits)
record(weight_only=simulated["accuracy %"], **SCORE_TOLERANCE | {"tolerance": 1})
assert min(row["accuracy %"] for row in [*rows, simulated]) > rows[0]["accuracy %"] - 1
assert rows[1]["size KiB"] < rows[0]["size KiB"] / 2 < rows[2]["size KiB"]

# %% five
seen = []
for m in (model, static):
    m.classifier.register_forward_pre_hook(lambda layer, inputs: seen.append(inputs[0]))
rows = []
for i in range(5):
    seen.clear()
    with torch.inference_mode():
        for m in (model, static):
            m(torch.from_numpy(test_images[i : i + 1]))
    x, quantized = seen
    # What the dynamic layer calls; True: 7 of 8 bits, as PyTorch's x86 engine has it by default.
    scale, zero_point = torch._choose_qparams_per_tensor(x, True)
    row = {"input": f"image {i}", "dynamic scale": round(scale, 5)}
    row |= {"dynamic zero point": zero_point, "static scale": round(quantized.q_scale(), 5)}
    rows.append(row | {"static zero point": quantized.q_zero_point()})
because = "what comes before is computed by kernels that differ from CPU to CPU"
table("five", rows, tolerance={"dynamic scale": 1e-4, "static scale": 1e-3}, because=because)
assert len({row["dynamic scale"] for row in rows}) == 5
assert len({row["static scale"] for row in rows}) == 1
