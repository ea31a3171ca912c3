"""Scales and zero points, read out of PyTorch's quantized models.

The running example in FX graph mode with 1000 images: once with the defaults, once with observers
that take the plain minimum and maximum, and weights in [-127, 127].
Source: the quantized modules of torch.ao.nn.quantized.
"""

# %% quantize
import json
import warnings

import torch
from torch.ao import quantization
from torch.ao.nn import quantized as nnq
from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

from handbook.data import fashion_mnist
from handbook.running_example import load_running_example, predict

warnings.simplefilter("ignore")  # deprecations: see the page on FX
torch.backends.quantized.engine = "x86"
images = fashion_mnist("train")[0][:1000]
own = quantization.QConfig(
    activation=quantization.MinMaxObserver.with_args(dtype=torch.quint8),
    weight=quantization.PerChannelMinMaxObserver.with_args(
        dtype=torch.qint8, qscheme=torch.per_channel_symmetric, quant_min=-127, quant_max=127
    ),
)


def quantize(qconfig_mapping):
    prepared = prepare_fx(load_running_example(), qconfig_mapping, (torch.from_numpy(images[:1]),))
    predict(prepared, images)
    return convert_fx(prepared)


default = quantize(quantization.get_default_qconfig_mapping("x86"))
minmax = quantize(quantization.QConfigMapping().set_global(own))
layers = [n for n, m in minmax.named_modules() if isinstance(m, nnq.Conv2d | nnq.Linear)]


# %% read
def read(model):  # {name: (scale, zero point)}
    found = {"images": (model.stem_conv_input_scale_0, model.stem_conv_input_zero_point_0)}
    for layer in layers:
        module = model.get_submodule(layer)
        weight = module.weight()
        found[f"{layer} weight"] = weight.q_per_channel_scales(), weight.q_per_channel_zero_points()
        found[f"{layer} output"] = module.scale, module.zero_point
    return found


# %% save
from handbook.record import artifact


def plain(parameter):
    """A number or a tensor as its type and a list: JSON keeps every bit of a float."""
    if isinstance(parameter, torch.Tensor):
        return [str(parameter.dtype), parameter.reshape(-1).tolist()]
    return [type(parameter).__name__, [parameter]]


models = {"PyTorch, default": read(default), "PyTorch, min and max": read(minmax)}
saved = {
    tool: {name: [plain(scale), plain(zero_point)] for name, (scale, zero_point) in found.items()}
    for tool, found in models.items()
}
artifact("affine/parameters_pytorch/parameters.json").write_text(json.dumps(saved))
for name in ("images", "stem.conv weight", "stem.conv output"):
    (scale_type, scale), (zero_point_type, zero_point) = saved["PyTorch, min and max"][name]
    print(f"{name:17} {scale_type:14} {scale[0]:.8f}  {zero_point_type:12} {zero_point[0]}")
assert abs(models["PyTorch, min and max"]["images"][0] - 1 / 90) < 1e-6
