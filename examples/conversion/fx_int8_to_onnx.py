"""PyTorch FX int8 to ONNX int8, by two exporters.

The converted model goes through the TorchScript exporter; the calibrated one becomes a model of
plain ATen operations first, which torch.export and the default exporter take.
Source: torch.onnx.export, PyTorch 2.13; handbook.export for the second way.
"""

# %% load
import copy
import logging
import warnings
from collections import Counter

import numpy as np
import onnx
import torch

logging.disable(logging.WARNING)  # of torchao and the exporter, on what they do not find
from torch.ao.quantization import get_default_qconfig_mapping
from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

from handbook.data import fashion_mnist
from handbook.record import artifact
from handbook.running_example import load_running_example, predict

warnings.simplefilter("ignore")  # deprecation notices of FX mode, and of the exporter
torch.backends.quantized.engine = "qnnpack"  # its kernels have biases in int32, as ONNX has
calibration_images = fashion_mnist("train")[0][:1000]
test_images, labels = fashion_mnist("test")
images = torch.from_numpy(np.ascontiguousarray(test_images[:2]))

# %% quantize
mapping = get_default_qconfig_mapping("onednn")  # 8-bit activations, a scale for each channel
prepared = prepare_fx(load_running_example(), mapping, (images,))
predict(prepared, calibration_images)
quantized = convert_fx(copy.deepcopy(prepared))

# %% torchscript
from handbook.to_onnx import round_biases

path = artifact("conversion/fx_int8_to_onnx/int8.onnx")
rounded = round_biases(quantized, images)
torch.onnx.export(
    torch.nn.Sequential(rounded),  # a GraphModule itself is taken for a graph of TorchScript
    (images,),
    path,
    dynamo=False,
    opset_version=17,
    input_names=["images"],
    dynamic_axes={"images": {0: "batch"}},
)

# %% decomposed
from handbook.export import fx_prepared_to_pt2e
from handbook.to_onnx import round_exported_biases, tidy

any_batch = ({0: torch.export.Dim("batch")},)
exported = round_exported_biases(fx_prepared_to_pt2e(prepared, (images,), any_batch))
new_path = artifact("conversion/fx_int8_to_onnx/decomposed.onnx")
torch.onnx.export(
    exported,
    (images,),
    new_path,
    input_names=["images"],
    dynamic_shapes=any_batch,
    external_data=False,
    verbose=False,
)
tidy(new_path)
operators = Counter(node.op_type for node in onnx.load(new_path).graph.node)
print(dict(sorted(operators.items())))
assert operators["QuantizeLinear"] == 15 and operators["Conv"] == 10

# %% keep
from handbook.to_onnx import converted_parameters, keep

parameters = converted_parameters(prepared, quantized)
for file in (path, new_path):  # both are compared with the int8 kernels of FX mode
    keep(file, predict(rounded, test_images), rounded.classifier.scale, parameters)
