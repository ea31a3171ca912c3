"""PT2E lowered to x86: int8 kernels by Inductor.

The converted model is compiled with freezing; the generated code shows the fused int8 kernels.
Accuracy on all test images, and latency against float that is compiled in the same way.
Source: torchao's tutorial on X86InductorQuantizer; pytorch/pytorch#108550 for the dynamic batch.
"""

# %% load
import logging
import re
import warnings
from collections import Counter
from functools import partial

import torch
from torch._inductor import config
from torch._inductor.utils import run_and_get_code

from handbook.data import fashion_mnist
from handbook.measure import has_int8_dot_product
from handbook.running_example import load_running_example, predict

logging.disable(logging.WARNING)  # torchao mentions the GPU kernels that it does not find
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

warnings.filterwarnings("ignore", "To copy construct from a tensor")  # Inductor's own code
torch.set_num_threads(1)
model = load_running_example()
calibration_images = fashion_mnist("train")[0][:1000]
test_images, labels = fashion_mnist("test")
images = torch.from_numpy(test_images[:100])

# %% quantize
any_batch = ({0: torch.export.Dim("batch")},)
exported = torch.export.export(model, (images,), dynamic_shapes=any_batch)
quantizer = x86.X86InductorQuantizer()
# Without VNNI, the sum of two products of 8 bits overflows 16: take 7 bits there.
reduce_range = not has_int8_dot_product()
quantizer.set_global(x86.get_default_x86_inductor_quantization_config(reduce_range=reduce_range))
prepared = prepare_pt2e(exported.module(), quantizer)
predict(prepared, calibration_images)
quantized = convert_pt2e(prepared)

# %% compile
config.freezing = True  # weights are constants: without it, nothing is fused
compiled = torch.compile(quantized, dynamic=False)
with torch.no_grad():
    outputs, code = run_and_get_code(compiled, images)

# %% fused
kernels = Counter(re.findall(r"torch\.ops\.onednn\.(\w+)", "\n".join(code)))
print(*(f"{count} {kernel}" for kernel, count in kernels.items()), sep="\n")
assert kernels == {"qconv_pointwise": 9, "qconv2d_pointwise": 1, "qlinear_pointwise": 1}
assert "extern_kernels.convolution" not in "".join(code)  # no float convolution is left

# %% results
from handbook.measure import SCORE_TOLERANCE, agreement, score
from handbook.record import record, table

float_logits, reference = predict(model, test_images), predict(quantized, test_images)
with torch.no_grad():
    batches = torch.from_numpy(test_images).split(100)  # the shape that it was compiled for
    logits = torch.cat([compiled(batch) for batch in batches]).numpy()
runs = {"float32": float_logits, "int8, reference": reference, "int8, Inductor": logits}
rows = [{"model": run} | score(found, labels, float_logits) for run, found in runs.items()]
table("results", rows, **SCORE_TOLERANCE)
record(same=agreement(logits, reference), tolerance=1, because="int8 kernels round ties apart")
assert agreement(logits, reference) > 98

# %% latency
from handbook.measure import latency, speedup
from handbook.record import TIMING

rows, ratios = [], {}
best_float = torch.compile(model, dynamic=False)
for count in (1, 100):
    batch = torch.from_numpy(test_images[:count])
    calls = {
        "float32": partial(model, batch),
        "float32, Inductor": partial(best_float, batch),
        "int8, Inductor": partial(compiled, batch),
    }
    with torch.no_grad():
        times = latency(calls)  # each compiles at its first call
    ratios[count] = speedup(times["float32, Inductor"], times["int8, Inductor"])
    for run, time in times.items():
        row = {"images at once": count, "model": run, "median ms": round(time.median_ms, 2)}
        rows.append(row | {"times as fast": speedup(times["float32"], time)})
timing = {"median ms": TIMING, "times as fast": TIMING}
table("latency", rows, tolerance=timing, because="times")
record(ratio_1=ratios[1], ratio_100=ratios[100], tolerance=TIMING)
assert ratios[100] > 0.9 or not has_int8_dot_product()
