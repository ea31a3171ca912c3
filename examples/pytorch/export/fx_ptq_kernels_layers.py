"""Where int8 kernels and exact arithmetic part: each layer of an FX model, by engine.

Every layer of the converted model is given its own int8 input once more, in float64: by how
many steps its outputs differ, and how far from a tie between two integers they were.
Source: our own measurement, with PyTorch 2.13.
"""

# %% load
import copy
import warnings

import torch
from torch.ao.nn import quantized as nnq
from torch.ao.quantization import get_default_qconfig_mapping
from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx
from torch.nn import functional as F

from handbook.data import fashion_mnist
from handbook.running_example import load_running_example, predict

# Three deprecation notices, which the page on static quantization explains.
warnings.filterwarnings("ignore", "torch.ao.quantization is deprecated")
warnings.filterwarnings("ignore", "Please use quant_min and quant_max")
warnings.filterwarnings("ignore", "torch.quantize_per_tensor, torch.quantize_per_channel")
# And one that only CPUs without VNNI give: what it warns of is measured in fx/no_vnni.py.
warnings.filterwarnings("ignore", "Default qconfig of oneDNN backend")
torch.set_num_threads(1)
calibration_images, test_images = fashion_mnist("train")[0][:1000], fashion_mnist("test")[0]
example_inputs = (torch.from_numpy(test_images[:1]),)
torch.backends.quantized.engine = "onednn"
mapping = get_default_qconfig_mapping("onednn")
prepared = prepare_fx(load_running_example(), mapping, example_inputs)
predict(prepared, calibration_images)


# %% exact
def exact(layer, x):
    """The output of a quantized layer before it is rounded to integers, float64."""
    weight, scales = layer.weight().int_repr().double(), layer.weight().q_per_channel_scales()
    weight *= scales.float().double().reshape(-1, *[1] * (weight.ndim - 1))
    x = (x.int_repr().double() - x.q_zero_point()) * x.q_scale()
    if isinstance(layer, nnq.Conv2d):
        options = (layer.stride, layer.padding, layer.dilation, layer.groups)
        y = F.conv2d(x, weight, layer.bias().double(), *options)
    else:
        y = F.linear(x, weight, layer.bias().double())
    y = F.relu(y) if "ReLU" in type(layer).__name__ else y
    return (y / layer.scale + layer.zero_point).detach()


# %% layers
images, seen, found = torch.from_numpy(test_images[:500]), {}, {}
for engine in ("onednn", "x86", "fbgemm", "qnnpack"):
    torch.backends.quantized.engine = engine
    quantized = convert_fx(copy.deepcopy(prepared))
    layers = {name: m for name, m in quantized.named_modules() if hasattr(m, "weight")}
    for layer in layers.values():
        layer.register_forward_hook(lambda m, x, y: seen.update({m: (*x, y)}))
    with torch.no_grad():
        quantized(images)
    for name, layer in layers.items():
        x, y = seen[layer]
        wanted = exact(layer, x)
        steps = (y.int_repr() - wanted.round().clamp(0, 255)).abs()
        from_tie = (wanted - wanted.floor() - 0.5).abs()[steps > 0]
        found[engine, name] = (steps.max().item(), (steps > 0).double().mean().item(), from_tie)

# %% results
from handbook.measure import has_int8_dot_product
from handbook.record import table

engines = ("onednn", "x86", "fbgemm", "qnnpack")
rows = [
    {"layer": name, "groups": getattr(layer, "groups", 1)}
    | {f"{engine}, largest LSB": int(found[engine, name][0]) for engine in engines}
    for name, layer in layers.items()
]
SATURATES = "int8 kernels differ between CPUs, and without VNNI all sums of 8 bits saturate"
wide = {f"{engine}, largest LSB": 255 for engine in engines}
table("layers", rows, tolerance=wide, because=SATURATES)
print()

# %% ties
rows = []
for engine in engines:
    within = [f for (e, _), f in found.items() if e == engine and f[0] <= 1]
    furthest = max(float(from_tie.max()) for _, _, from_tie in within if len(from_tie))
    share = max(100 * off for _, off, _ in within)
    row = {"engine": engine, "layers within 1 LSB": len(within), "largest share off %": share}
    rows.append(row | {"furthest from a tie": furthest})
if has_int8_dot_product():
    assert all(row["furthest from a tie"] < 1e-4 for row in rows[:3])
    assert len(layers) == rows[0]["layers within 1 LSB"] > rows[2]["layers within 1 LSB"]
assert len(layers) == rows[3]["layers within 1 LSB"] and rows[3]["furthest from a tie"] < 0.05
wide = {"layers within 1 LSB": 11, "largest share off %": 100, "furthest from a tie": 0.5}
table("ties", rows, tolerance=wide, because=SATURATES)
