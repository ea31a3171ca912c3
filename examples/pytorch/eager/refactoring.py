"""Eager mode: refactoring a network so that it can be quantized.

The running example before and after, as a diff. The refactored network takes the same state dict
and gives the same outputs to the bit; fused, it gives them to float32 rounding.
Source: the docstrings of QuantStub, FloatFunctional and fuse_modules, PyTorch 2.13.
"""

# %% load
import warnings

import numpy as np
from torch.ao.quantization import fuse_modules

from handbook.data import fashion_mnist
from handbook.eager_example import EagerExample, load_eager_example, modules_to_fuse
from handbook.running_example import RunningExample, load_running_example, predict

# Two deprecation notices, which the page on static quantization explains.
warnings.filterwarnings("ignore", "torch.ao.quantization is deprecated")
warnings.filterwarnings("ignore", "torch.quantize_per_tensor, torch.quantize_per_channel")
images = fashion_mnist("test")[0][:2000]

# %% difference
import difflib
import inspect

before = inspect.getsource(RunningExample).splitlines()[3:]  # without class and docstring
after = inspect.getsource(EagerExample).splitlines()[3:]
difference = list(difflib.unified_diff(before, after, n=1, lineterm=""))[2:]
print("\n".join(difference))

# %% same_outputs
model, eager_model = load_running_example(), load_eager_example()
assert eager_model.state_dict().keys() == model.state_dict().keys()
float_logits = predict(model, images)
print("same outputs:", np.array_equal(predict(eager_model, images), float_logits))
assert np.array_equal(predict(eager_model, images), float_logits)

# %% fuse
names = modules_to_fuse(eager_model)
print("separable1.depthwise before:", eager_model.separable1.depthwise)
fused = fuse_modules(eager_model, names)
print("and after:", fused.separable1.depthwise)

# %% fused_outputs
fused_logits = predict(fused, images)
difference_of_logits = np.abs(fused_logits - float_logits).max().item()
print("largest difference of a logit:", difference_of_logits)
assert difference_of_logits < 1e-4
assert (fused_logits.argmax(1) == float_logits.argmax(1)).mean() > 0.999

# %% needs_no_edit
import torch
from torch.nn import functional as F

x = torch.quantize_per_tensor(torch.rand(1, 4, 8, 8), 1 / 255, 3, torch.quint8)
results = {"mean": x.mean((2, 3)), "max_pool2d": F.max_pool2d(x, 2), "relu": F.relu(x)}
results |= {"adaptive_avg_pool2d": F.adaptive_avg_pool2d(x, 1), "reshape": x.reshape(4, 64)}
results |= {"flatten": x.flatten(1), "permute": x.permute(0, 2, 3, 1), "x[:, :2]": x[:, :2]}
kept = [name for name, y in results.items() if y.q_scale() == 1 / 255 and y.q_zero_point() == 3]
print("scale and zero point stay:", *kept)
assert len(kept) == len(results)

# %% torch_cat
one = torch.quantize_per_tensor(torch.tensor([1.0]), 0.01, 0, torch.quint8)  # up to 2.55
four = torch.quantize_per_tensor(torch.tensor([4.0]), 0.02, 0, torch.quint8)  # up to 5.1
with warnings.catch_warnings(record=True) as caught:
    joined, swapped = torch.cat([one, four]), torch.cat([four, one])
print(*(str(warning.message).partition(" (Triggered")[0] for warning in caught))
print("one and four:", joined.dequantize(), "four and one:", swapped.dequantize())
assert "must share the same quantization parameters" in str(caught[0].message)
assert joined.q_scale() == one.q_scale() and joined.dequantize()[1] < 2.56

# %% numbers
from handbook.record import record

added = [line for line in difference if line.startswith("+")]
record(fused_groups=len(names), added=len(added))
record(fused_difference=difference_of_logits, tolerance=1e-4, because="float32 sums in any order")
