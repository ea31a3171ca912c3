"""Eager mode: what each edit of the refactoring is worth.

The running example quantized five times: as refactored, and with one edit left out or done wrong
that raises no error. Engine onednn, 1000 calibration images, all test images.
Source: run with torch.ao.quantization; torch.cat is pytorch/pytorch#46604.
"""

# %% load
import warnings

import torch
from torch.ao.quantization import convert, fuse_modules, get_default_qconfig, prepare

from handbook.data import fashion_mnist
from handbook.eager_example import EagerExample, modules_to_fuse
from handbook.running_example import load_running_example, predict

warnings.simplefilter("ignore")  # the deprecation notices that the page on PTQ shows
torch.backends.quantized.engine = "onednn"
calibration_images = fashion_mnist("train")[0][:1000]
test_images, labels = fashion_mnist("test")
model = load_running_example()


# %% variants
class TorchCat(EagerExample):
    def forward(self, x):
        x = self.separable2(self.separable1(self.stem(self.quant(x))))
        x = self.add.add(x, self.inverted(x))
        x = torch.cat([self.branch1x1(x), self.branch3x3(x)], dim=1)  # not self.cat.cat
        return self.dequant(self.classifier(x.mean((2, 3))))


class Shared(EagerExample):
    def forward(self, x):
        x = self.separable2(self.separable1(self.stem(self.quant(x))))
        x = self.add.add(x, self.inverted(x))
        x = self.add.cat([self.branch1x1(x), self.branch3x3(x)], dim=1)  # self.add again
        return self.dequant(self.classifier(x.mean((2, 3))))


# %% quantize
names = modules_to_fuse(EagerExample())
variants = {
    "as refactored": (EagerExample, names),
    "ReLUs not fused": (EagerExample, [group[:2] for group in names]),
    "nothing fused": (EagerExample, []),
    "torch.cat": (TorchCat, names),
    "one FloatFunctional for both": (Shared, names),
}
quantized = {}
for variant, (network, to_fuse) in variants.items():
    refactored = network()
    refactored.load_state_dict(model.state_dict())
    fused = fuse_modules(refactored.eval(), to_fuse) if to_fuse else refactored.eval()
    fused.qconfig = get_default_qconfig("onednn")
    prepared = prepare(fused)
    assert not hasattr(prepared.stem.relu, "activation_post_process")  # a ReLU has no observer
    predict(prepared, calibration_images)
    quantized[variant] = convert(prepared)

# %% stem
for variant in ("as refactored", "ReLUs not fused", "nothing fused"):
    print(f"{variant}:", *quantized[variant].stem, sep="\n    ")
scale = {variant: m.stem.conv.scale for variant, m in quantized.items()}
assert scale["ReLUs not fused"] > 1.5 * scale["as refactored"]

# %% scales
by_network = {name: quantized[name] for name in ("as refactored", "torch.cat")}
for name, m in by_network.items():
    print(f"{name}: 1x1 {m.branch1x1.conv.scale:.5f}, 3x3 {m.branch3x3.conv.scale:.5f}", end=", ")
    print(f"concatenated {m.cat.scale:.5f}")
shared = quantized["one FloatFunctional for both"].add
apart = quantized["as refactored"]
print(f"one for both {shared.scale:.5f}, add {apart.add.scale:.5f}, cat {apart.cat.scale:.5f}")

# %% results
from functools import partial

from handbook.measure import has_int8_dot_product, latency, score, speedup
from handbook.record import TIMING, table

hundred = torch.from_numpy(test_images[:100])
float_logits = predict(model, test_images)
with torch.inference_mode():
    times = latency({variant: partial(m, hundred) for variant, m in quantized.items()}, rounds=20)
rows = []
for variant, m in quantized.items():
    row = {"variant": variant} | score(predict(m, test_images), labels, float_logits)
    rows.append(row | {"times as long": speedup(times[variant], times["as refactored"])})
wide = {"accuracy %": 3, "95 % interval": 3, "same answer as float %": 4, "times as long": TIMING}
KERNELS = "what is clipped and what saturates depends on the kernels of the CPU"
table("results", rows, tolerance=wide, because=KERNELS)
if has_int8_dot_product():
    same = [row["same answer as float %"] for row in rows]
    assert same[0] == max(same) and same[2] == min(same)
    assert rows[2]["times as long"] > 1.2
