"""PT2E lowered to ExecuTorch: an example input with a stride of 0.

NumPy gives an axis that was added with np.newaxis a stride of 0. PyTorch takes such a tensor for
contiguous, and ExecuTorch refuses it.
Source: dim_order_from_stride in executorch/exir/tensor.py, executorch 1.4.
"""

# %% load
import logging
import warnings

import torch

from handbook.data import fashion_mnist
from handbook.record import expected
from handbook.running_example import load_running_example
from handbook.tflite import quiet

logging.disable(logging.WARNING)
warnings.filterwarnings("ignore", "`isinstance.treespec, LeafSpec.` is deprecated")

with quiet():  # C++ libraries that greet
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower


# %% lower
def lower(images):
    shapes = ({0: torch.export.Dim("batch", max=500)},)
    exported = torch.export.export(load_running_example(), (images,), dynamic_shapes=shapes)
    return to_edge_transform_and_lower(exported, partitioner=[XnnpackPartitioner()])


# %% strides
images = torch.from_numpy(fashion_mnist("test")[0][:2])  # (N, 28, 28)[:, np.newaxis]
print("strides", images.stride(), "contiguous", images.is_contiguous())
assert images.stride(1) == 0
with expected(RuntimeError, "0 in strides is not supported for ExecuTorch."):
    lower(images).to_executorch()

# %% same
print("after contiguous():", images.contiguous().stride())  # no copy was made
assert images.contiguous().stride(1) == 0

# %% copied
copied = torch.empty(images.shape).copy_(images)
print("after copy_():", copied.stride())
assert len(lower(copied).to_executorch().buffer) > 100_000
