"""Exports to ONNX that go wrong.

Five ways to lose the batch dimension, or the export, or to be warned: each with its message.
Source: run with torch.onnx.export of PyTorch 2.13.
"""

# %% load
import contextlib
import io
import logging
import warnings

import onnxruntime
import torch
from onnxruntime.capi.onnxruntime_pybind11_state import InvalidArgument

from handbook.data import fashion_mnist
from handbook.record import artifact, expected
from handbook.running_example import load_running_example

logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # torchvision's operators are skipped
warnings.filterwarnings("ignore", "`isinstance.treespec, LeafSpec.` is deprecated")

model = load_running_example()
images = torch.from_numpy(fashion_mnist("test")[0][:3])
example_inputs = (images[:2],)
path = artifact("conversion/onnx_export_errors/model.onnx")

# %% fixed_batch
torch.onnx.export(model, example_inputs, path, verbose=False)  # no dynamic_shapes
session = onnxruntime.InferenceSession(path)
with expected(InvalidArgument, "Got invalid dimensions for input: x"):
    session.run(None, {"x": images.numpy()})


# %% hard_coded_batch
class Flat(torch.nn.Module):
    """Takes (N, 784), but its code knows N."""

    def __init__(self):
        super().__init__()
        self.model = model

    def forward(self, x):
        return self.model(x.view(2, 1, 28, 28))  # should be -1


flat_inputs = (example_inputs[0].flatten(1),)
dynamic_shapes = ({0: torch.export.Dim("batch")},)
torch.onnx.export(Flat().eval(), flat_inputs, path, dynamic_shapes=dynamic_shapes, verbose=False)
shape = onnxruntime.InferenceSession(path).get_inputs()[0].shape
print("input of the ONNX model:", shape)
assert shape == [2, 784]  # dynamic_shapes was dropped, without a word

# %% hard_coded_cure
must_vary = ({0: torch.export.Dim.DYNAMIC},)
with expected(torch._dynamo.exc.UserError, "your code specialized it to be a constant (2)"):
    torch.export.export(Flat().eval(), flat_inputs, dynamic_shapes=must_vary)


# %% branch
class Branch(torch.nn.Module):
    """Rescales images whose largest pixel is above 1."""

    def __init__(self):
        super().__init__()
        self.model = model

    def forward(self, x):
        if x.max() > 1:
            x = x / x.max()
        return self.model(x)


logging.getLogger("torch").setLevel(logging.CRITICAL)  # torch.export logs the failure at length,
silence = contextlib.redirect_stderr(io.StringIO())  # and prints the graph
with expected(torch.onnx.OnnxExporterError, "Could not guard on data-dependent"), silence:
    torch.onnx.export(Branch().eval(), example_inputs, path, verbose=False)

# %% training_mode
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    torch.onnx.export(model.train(), example_inputs, path, verbose=False)
print(f"{caught[0].category.__name__}: {caught[0].message}")
assert "while it is in training mode" in str(caught[0].message)

# %% torchscript
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    torch.onnx.export(model.eval(), example_inputs, path, dynamo=False)
print(f"{caught[0].category.__name__}: {caught[0].message}")
assert "legacy TorchScript-based ONNX export" in str(caught[0].message)
