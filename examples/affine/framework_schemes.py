"""Which framework quantizes how: the defaults, asked of the frameworks themselves.

The observers of PyTorch's engines and the arguments of ONNX Runtime's quantize_static.
Source: the installed packages.
"""

# %% pytorch
import warnings

from torch.ao.quantization import get_default_qconfig

from handbook.record import table

warnings.filterwarnings("ignore", "torch.ao.quantization is deprecated")
warnings.filterwarnings("ignore", "Default qconfig of oneDNN")  # on a CPU without VNNI
warnings.filterwarnings("ignore", "Please use quant_min and quant_max")

rows = []
for engine in ("x86", "onednn", "qnnpack"):
    qconfig = get_default_qconfig(engine)
    for tensor, observer in {
        "weights": qconfig.weight(),
        "activations": qconfig.activation(),
    }.items():
        row = {
            "engine": engine,
            "tensor": tensor,
            "type": str(observer.dtype).removeprefix("torch."),
        }
        row["scheme"] = str(observer.qscheme).removeprefix("torch.").replace("_", " ")
        row["integers"] = f"{observer.quant_min} to {observer.quant_max}"
        rows.append(row)
table("pytorch", rows)

# %% onnxruntime
import inspect

from onnx import TensorProto
from onnxruntime.quantization import quantize_static
from onnxruntime.quantization.quant_utils import get_qmin_qmax_for_qType

defaults = inspect.signature(quantize_static).parameters
print({name: str(defaults[name].default) for name in ("activation_type", "weight_type")})
for scheme, symmetric in {"activations": False, "weights": True}.items():
    quant_min, quant_max = get_qmin_qmax_for_qType(TensorProto.INT8, symmetric=symmetric)
    print(f"{scheme}, symmetric={symmetric}: {quant_min} to {quant_max}")
assert get_qmin_qmax_for_qType(TensorProto.INT8, symmetric=True)[0] == -127
