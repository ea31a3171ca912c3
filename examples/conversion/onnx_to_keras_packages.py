"""ONNX to Keras with a package: what onnx2keras converts, and what it gets wrong in silence.

Networks of a layer or two, exported from PyTorch, go through onnx2keras 0.0.25 and through
handbook.onnx_to_keras, and are compared with PyTorch.
Source: onnx2keras 0.0.25, as installed.
"""

# %% load
import logging
import warnings

import numpy as np
import onnx
import torch
from torch import nn

from handbook.keras_twin import keras  # before TensorFlow: it keeps the notices away
from handbook.record import artifact, table
from handbook.tflite import quiet

with quiet():
    import onnx2keras

logging.basicConfig(handlers=[logging.NullHandler()])  # before onnx2keras sets it up for all
logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # torchvision's operators are skipped
warnings.filterwarnings("ignore", "`isinstance.treespec, LeafSpec.` is deprecated")

# %% networks
torch.manual_seed(0)
shift = nn.BatchNorm2d(8)  # makes most values negative, for the maximum
nn.init.constant_(shift.bias, -3)
networks = {
    "convolution, stride 2": nn.Conv2d(8, 8, 3, stride=2, padding=1),
    "grouped convolution": nn.Conv2d(8, 8, 3, padding=1, groups=2),
    "transposed convolution": nn.ConvTranspose2d(8, 8, 3, stride=2, padding=1, output_padding=1),
    "flatten, linear": nn.Sequential(nn.Flatten(), nn.Linear(8 * 9 * 9, 4)),
    "PReLU": nn.PReLU(8),
    "hard swish": nn.Hardswish(),
    "maximum, padding 1": nn.Sequential(shift, nn.MaxPool2d(3, 2, 1)),
    "maximum, ceil_mode": nn.MaxPool2d(2, ceil_mode=True),
    "mean, padding not counted": nn.AvgPool2d(3, 2, 1, count_include_pad=False),
    "shuffled channels": nn.ChannelShuffle(2),
    "upsampling, nearest": nn.Upsample(scale_factor=2),
    "upsampling, bilinear": nn.Upsample(scale_factor=2, mode="bilinear"),
}

# %% compare
from handbook.onnx_to_keras import onnx_to_keras


def with_package(path):
    model = onnx.load(path)
    options = dict(change_ordering=True, name_policy="renumerate", verbose=False)
    return onnx2keras.onnx_to_keras(model, ["x"], **options)


def difference(convert):
    """The largest of an output, or how the conversion fails."""
    keras.backend.set_image_data_format("channels_last")  # onnx2keras leaves another one behind
    try:
        with quiet():
            given = np.asarray(convert(path)(np.moveaxis(images.numpy(), 1, 3)))
    except (AssertionError, AttributeError, KeyError) as error:
        return f"{type(error).__name__}: {error}"
    if given.shape != wanted.shape:
        return f"another shape: {given.shape}"
    far = abs(given - wanted).max()
    return "equal" if far < 1e-4 else "wrong"


images, rows = torch.randn(2, 8, 9, 9), []
path = artifact("conversion/onnx_to_keras_packages/network.onnx")
any_batch = ({0: torch.export.Dim("batch")},)
for name, network in networks.items():
    torch.onnx.export(
        network.eval(), (images,), path, input_names=["x"], dynamic_shapes=any_batch, verbose=False
    )
    wanted = network(images).detach().numpy()
    wanted = np.moveaxis(wanted, 1, 3) if wanted.ndim == 4 else wanted
    row = {"network": name, "onnx2keras": difference(with_package)}
    rows.append(row | {"handbook.onnx_to_keras": difference(onnx_to_keras)})
table("networks", rows)
assert all(row["handbook.onnx_to_keras"] == "equal" for row in rows)
wrong = [row["network"] for row in rows if row["onnx2keras"] == "wrong"]
assert wrong == ["maximum, padding 1", "mean, padding not counted", "shuffled channels"], wrong

# %% left_behind
from handbook.record import expected

with expected(KeyError, "HardSwish"), quiet():
    torch.onnx.export(networks["hard swish"], (images,), path, input_names=["x"], verbose=False)
    with_package(path)
print("Keras' image_data_format is now:", keras.backend.image_data_format())
assert keras.backend.image_data_format() == "channels_first"
with expected(ValueError, "comes first"):
    onnx_to_keras(path)
keras.backend.set_image_data_format("channels_last")
