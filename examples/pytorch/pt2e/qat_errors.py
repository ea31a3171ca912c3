"""PT2E quantization aware training: what people stumble over.

The mode of an exported model, batch normalization that is exported frozen, frozen on purpose, and
observers of another package.
Source: run with torchao 0.18; torchao.quantization.pt2e.
"""

# %% load
import logging
import warnings

import torch

from handbook.data import fashion_mnist
from handbook.record import expected
from handbook.running_example import load_running_example

logging.disable(logging.WARNING)  # torchao mentions the GPU kernels that it does not find
from torch.ao.quantization import disable_observer as torch_ao_disable_observer
from torchao.quantization import pt2e
from torchao.quantization.pt2e.quantize_pt2e import prepare_qat_pt2e
from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

warnings.filterwarnings("ignore", "must run observer before calling calculate_qparams")
torch.set_num_threads(1)
images = torch.from_numpy(fashion_mnist("train")[0][:64])
quantizer = x86.X86InductorQuantizer()
quantizer.set_global(x86.get_default_x86_inductor_quantization_config(is_qat=True))


# %% prepare
class Stem(torch.nn.Module):
    """The first convolution of the running example, its batch normalization and ReLU."""

    def __init__(self):
        super().__init__()
        self.stem = load_running_example().stem

    def forward(self, x):
        return self.stem(x)


exported = torch.export.export(Stem().train(), (images,)).module()
prepared = prepare_qat_pt2e(exported, quantizer)

# %% mode
with expected(NotImplementedError, "is not supported for exported models"):
    prepared.train()

# %% package
before = prepared.get_submodule("activation_post_process_0").observer_enabled.item()
prepared.apply(torch_ao_disable_observer)
after = prepared.get_submodule("activation_post_process_0").observer_enabled.item()
prepared.apply(pt2e.disable_observer)
own = prepared.get_submodule("activation_post_process_0").observer_enabled.item()
print("observer on:", before, "after torch.ao's:", after, "after torchao's:", own)
assert (before, after, own) == (1, 1, 0)
prepared.apply(pt2e.enable_observer)

# %% scales
prepared(images)
for module in prepared.modules():
    if isinstance(module, pt2e.FusedMovingAvgObsFakeQuantize) and module.is_per_channel:
        ratio = module.scale / module.calculate_qparams()[0]
        print(
            "scale in training / scale of the conversion:", ratio.min().item(), ratio.max().item()
        )
assert ratio.min() > 0.99 and ratio.max() < 1.01

# %% frozen
pt2e.move_exported_model_to_eval(prepared)  # and go on training: the statistics stay as they are
state = {name: value.clone() for name, value in prepared.state_dict().items()}
optimizer = torch.optim.SGD(prepared.parameters(), 0.1)
prepared(images).square().mean().backward()
optimizer.step()
for name in ("stem.conv.weight", "stem.bn.running_mean"):
    moved = not torch.equal(state[name], prepared.state_dict()[name])
    print(name, "moved" if moved else "stayed")
    assert moved == (name == "stem.conv.weight")

# %% wrong_mode
exported = torch.export.export(Stem().eval(), (images,)).module()
prepared = prepare_qat_pt2e(exported, quantizer)
before = prepared.state_dict()["stem.bn.running_mean"].clone()
prepared(images)
same = torch.equal(before, prepared.state_dict()["stem.bn.running_mean"])
print("exported in eval mode: statistics", "stayed" if same else "moved")
assert not same
