"""PyTorch quantization aware training to ONNX: what fails, and what is lost in silence.

Fake quantizers that each exporter refuses, and limits of 7 bits that do not reach the file.
Source: run with torch.onnx.export of PyTorch 2.13 and ONNX Runtime 1.32.
"""

# %% load
import logging
import os
import warnings
from contextlib import contextmanager

import onnx
import torch

logging.disable(logging.CRITICAL)  # torch.export logs its failures at length
from torch.ao.quantization import disable_observer, get_default_qat_qconfig_mapping
from torch.ao.quantization.quantize_fx import prepare_qat_fx
from torch.onnx import OnnxExporterError
from torch.onnx.errors import UnsupportedOperatorError

from handbook.data import fashion_mnist
from handbook.export import fx_prepared_to_pt2e
from handbook.fx_qat import qat_mapping
from handbook.onnx_session import predict_onnx
from handbook.record import artifact, expected, record
from handbook.running_example import load_running_example
from handbook.tflite import quiet

warnings.simplefilter("ignore")  # deprecation notices
torch.set_num_threads(1)
torch.backends.quantized.engine = "onednn"
images = torch.from_numpy(fashion_mnist("test")[0][:100].copy())
path = artifact("conversion/pytorch_qat_to_onnx_errors/model.onnx")


@contextmanager
def no_graph():
    """The TorchScript exporter prints the whole graph at an error, from C++."""
    stdout, null = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    try:
        yield
    finally:
        os.dup2(stdout, 1)
        os.close(stdout)
        os.close(null)


# %% observed
def observed(mapping):
    model = torch.nn.Sequential(load_running_example().stem, torch.nn.Flatten())
    prepared = prepare_qat_fx(model.train(), mapping, (images,))
    prepared(images)
    return prepared.eval().apply(disable_observer)


plain = observed(qat_mapping())
default = observed(get_default_qat_qconfig_mapping("onednn"))

# %% plain_dynamo
with expected(OnnxExporterError, "Could not guard on data-dependent"), quiet():
    torch.onnx.export(plain, (images,), path, verbose=False)

# %% default_dynamo
with expected(OnnxExporterError, "No ONNX function found for"), quiet():
    torch.onnx.export(default, (images,), path, verbose=False)

# %% default_torchscript
module = torch.nn.Sequential(default)  # a GraphModule itself is taken for a graph of TorchScript
with expected(UnsupportedOperatorError, "aten::fused_moving_avg_obs_fake_quant"), no_graph():
    torch.onnx.export(module, (images,), path, dynamo=False, verbose=False)


# %% function
class Rounded(torch.nn.Module):
    def forward(self, x):
        return torch.fake_quantize_per_tensor_affine(x, 0.01, 0, 0, self.quant_max)


rounded = Rounded()
for rounded.quant_max in (255, 127):
    with quiet():
        torch.onnx.export(rounded, (images,), path, verbose=False)
    operators = [node.op_type for node in onnx.load(path).graph.node]
    print(rounded.quant_max, *operators)
    assert operators[0] == "QuantizeLinear" and ("Clip" in operators) == (rounded.quant_max < 255)

# %% seven_bits
seven_bits = get_default_qat_qconfig_mapping("x86")  # activations from 0 to 127
exported = fx_prepared_to_pt2e(observed(seven_bits), (images,))
with quiet():
    torch.onnx.export(exported, (images,), path, external_data=False, verbose=False)
brighter = 2 * images  # further than anything observed
pytorch_outputs = exported(brighter).detach().numpy()
onnx_outputs = predict_onnx(path, brighter.numpy())
print("largest value in PyTorch:", pytorch_outputs.max(), "in ONNX Runtime:", onnx_outputs.max())
assert onnx_outputs.max() > 1.5 * pytorch_outputs.max()
differ = round(100 * float((abs(onnx_outputs - pytorch_outputs) > 1e-3).mean()), 1)
record(differ=differ, tolerance=5, because="ranges depend on the CPU's float kernels")
