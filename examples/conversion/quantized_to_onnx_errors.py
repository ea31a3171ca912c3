"""PyTorch quantized to ONNX quantized: what fails.

Exporters that refuse a model, and a session that refuses a file: each with its message.
Source: run with torch.onnx.export of PyTorch 2.13 and ONNX Runtime 1.32.
"""

# %% load
import copy
import logging
import os
import warnings
from contextlib import contextmanager

import numpy as np
import onnxruntime
import torch
from onnxruntime.capi.onnxruntime_pybind11_state import Fail
from torch.ao.quantization import convert, get_default_qconfig, prepare
from torch.onnx.errors import SymbolicValueError, UnsupportedOperatorError

logging.disable(logging.CRITICAL)  # torch.export logs its failures at length
from handbook.data import fashion_mnist
from handbook.eager_example import load_eager_example
from handbook.export import fx_prepared_to_pt2e
from handbook.onnx_session import session
from handbook.record import artifact, expected
from handbook.running_example import load_running_example
from handbook.tflite import quiet

logging.getLogger("torch.onnx").setLevel(logging.ERROR)
onnxruntime.set_default_logger_severity(4)
warnings.simplefilter("ignore")  # deprecation notices
torch.backends.quantized.engine = "onednn"
images = torch.from_numpy(np.ascontiguousarray(fashion_mnist("train")[0][:100]))
path = artifact("conversion/quantized_to_onnx_errors/model.onnx")


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


# %% not_fused
model = load_eager_example()  # no fuse_modules
model.qconfig = get_default_qconfig("onednn")
prepared = prepare(model)
prepared(images)
quantized = convert(prepared)
with expected(UnsupportedOperatorError, "quantized::batch_norm2d"), no_graph():
    torch.onnx.export(quantized, (images[:2],), path, dynamo=False, verbose=False)

# %% dynamo
with expected(AttributeError, "__obj_flatten__"), quiet():
    torch.export.export(quantized, (images[:2],))  # the first step of the default exporter

# %% graph_module
from torch.ao.quantization import get_default_qconfig_mapping
from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

mapping = get_default_qconfig_mapping("onednn")
prepared = prepare_fx(load_running_example(), mapping, (images[:2],))
prepared(images)
quantized = convert_fx(copy.deepcopy(prepared))
old = {
    "dynamo": False,
    "verbose": False,
    "input_names": ["images"],
    "dynamic_axes": {"images": {0: "batch"}},
}
with expected(AttributeError, "'Graph' object has no attribute 'outputs'"):
    torch.onnx.export(quantized, (images[:2],), path, opset_version=17, **old)

# %% opset
module = torch.nn.Sequential(quantized)
with expected(SymbolicValueError, "Please try opset version 13"), no_graph():
    torch.onnx.export(module, (images[:2],), path, opset_version=12, **old)

# %% shared_zero_points
exported = fx_prepared_to_pt2e(prepared, (images[:2],))
torch.onnx.export(exported, (images[:2],), path, external_data=False, verbose=False)
session(path)  # the default kernels
with expected(Fail, "Attempt to replace the existing tensor"):
    session(path, x64quantprecision="1")

# %% own_zero_points
from handbook.to_onnx import tidy

tidy(path)
(logits,) = session(path, x64quantprecision="1").run(None, {"x": images[:2].numpy()})
assert logits.shape == (2, 10)
