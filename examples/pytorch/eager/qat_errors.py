"""Eager mode: what people stumble over in quantization aware training.

The wrong mode, batch normalization folded before the training, an optimizer that trains another
copy, float weights loaded too late, and observers that an evaluation moves.
Source: run with torch.ao.quantization of PyTorch 2.13.
"""

# %% load
import warnings

import torch
from torch.ao.quantization import (
    disable_observer,
    fuse_modules,
    fuse_modules_qat,
    get_default_qat_qconfig,
    prepare_qat,
)

from handbook.data import fashion_mnist
from handbook.eager_example import load_eager_example, modules_to_fuse
from handbook.record import expected, record
from handbook.running_example import load_running_example, predict

warnings.simplefilter("ignore")  # the deprecation notices that the page on PTQ shows
torch.backends.quantized.engine = "x86"
images = fashion_mnist("train")[0][:500]


def prepared():
    model = load_eager_example().train()
    fused = fuse_modules_qat(model, modules_to_fuse(model))
    fused.qconfig = get_default_qat_qconfig("x86")
    return prepare_qat(fused)


# %% eval_mode
model = load_eager_example()  # in eval mode
model.qconfig = get_default_qat_qconfig("x86")
with expected(AssertionError, "prepare_qat only works on models in training mode"):
    prepare_qat(model)

# %% fuse_in_train_mode
model.train()
with expected(AssertionError, "Fusion only for eval!"):
    fuse_modules(model, modules_to_fuse(model))

# %% fuse_in_eval_mode
model = load_eager_example().eval()
folded = fuse_modules(model, modules_to_fuse(model)).train()
folded.qconfig = get_default_qat_qconfig("x86")
print(type(prepare_qat(folded).stem.conv).__name__, "and", type(prepared().stem.conv).__name__)
assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in prepare_qat(folded).modules())

# %% optimizer
model = load_eager_example().train()
model.qconfig = get_default_qat_qconfig("x86")
optimizer = torch.optim.SGD(model.parameters(), 0.1)  # of the float model
to_train = prepare_qat(model)  # a copy
before = to_train.classifier.weight.clone()
to_train(torch.from_numpy(images)).sum().backward()
optimizer.step()
print("trained:", not torch.equal(to_train.classifier.weight, before))
assert torch.equal(to_train.classifier.weight, before)

# %% float_weights
float_stem = load_running_example().stem.state_dict()  # the first block, for a short message
with expected(RuntimeError, "Missing key(s) in state_dict"):
    prepared().stem.load_state_dict(float_stem)

# %% evaluation
model = prepared()
predict(model, images)
scale = model.quant.activation_post_process.scale
before = scale.item()
predict(model.eval(), 10 * images)  # an evaluation, of images with another range
print(f"scale {before:.4f}, after an evaluation {scale.item():.4f}", end=", ")
record(drift=round(100 * (scale.item() / before - 1), 1))
assert scale.item() > 1.05 * before
after = scale.item()
predict(model.apply(disable_observer), 100 * images)
print(f"with disable_observer {scale.item():.4f}")
assert scale.item() == after
