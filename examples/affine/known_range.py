"""A range that is known, set by hand.

The image's range, given to PyTorch and to ONNX Runtime; calibration with an image that nobody has
normalized then leaves it as it is.
Source: torch.ao.quantization.FixedQParamsObserver; onnxruntime.quantization.quantize_static.
"""

# %% load
import logging
import warnings

import numpy as np
import torch

from handbook.data import fashion_mnist
from handbook.record import artifact
from handbook.running_example import load_running_example

warnings.filterwarnings("ignore", "torch.ao.quantization is deprecated")
warnings.filterwarnings("ignore", "Please use quant_min and quant_max")
warnings.filterwarnings("ignore", "Default qconfig of oneDNN backend")
warnings.filterwarnings("ignore", "torch.quantize_per_tensor, torch.quantize_per_channel")
logging.getLogger().setLevel(logging.ERROR)  # ONNX Runtime's advice to prepare the model
model = load_running_example()
not_normalized = fashion_mnist("train", raw=True)[0][:1, np.newaxis].astype(np.float32)

# %% prepare
from torch.ao.quantization import FixedQParamsObserver, get_default_qconfig_mapping
from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

mapping = get_default_qconfig_mapping("onednn")
prepared = prepare_fx(model, mapping, torch.zeros(1, 1, 28, 28))

# %% pytorch
prepared.activation_post_process_0 = FixedQParamsObserver(scale=1 / 90, zero_point=73)

# %% calibrate
prepared(torch.from_numpy(not_normalized))  # an image from 0 to 255
quantized = convert_fx(prepared)
scale, zero_point = quantized.stem_conv_input_scale_0, quantized.stem_conv_input_zero_point_0
print(f"PyTorch: 1 / {1 / scale.item():.1f}, {zero_point.item()}")
assert abs(scale.item() * 90 - 1) < 1e-6 and zero_point.item() == 73

# %% onnxruntime
low, high = np.float32([-73 / 90, 182 / 90])  # Python's own floats are refused
options = {"TensorQuantOverrides": {"images": [{"rmin": low, "rmax": high}]}}

# %% quantize
import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static


class Reader(CalibrationDataReader):
    def __init__(self):
        self.batches = iter([{"images": not_normalized}])

    def get_next(self):
        return next(self.batches, None)


source = artifact("conversion/pytorch_float_to_onnx_float/running_example.onnx")
target = artifact("affine/known_range/int8.onnx")
activation = {"activation_type": QuantType.QUInt8, "extra_options": options}
quantize_static(source, target, Reader(), **activation)
graph = onnx.load(target).graph
values = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
node = next(node for node in graph.node if node.input[0] == "images")
scale, zero_point = (values[name].item() for name in node.input[1:])
print(f"ONNX Runtime: 1 / {1 / scale:.1f}, {zero_point}")
assert abs(scale * 90 - 1) < 1e-6 and zero_point == 73
