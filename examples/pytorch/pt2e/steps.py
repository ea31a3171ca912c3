"""PT2E, step by step: what export, prepare, training and convert change.

Each step is compared with the one before it, on all 10 000 test images: eager float to PT2E float,
float to observed, observed to int8, float to trained, trained to int8.
Source: torchao.quantization.pt2e of torchao 0.18.
"""

# %% load
import copy
import logging
import warnings

import torch

logging.disable(logging.WARNING)  # torchao mentions the GPU kernels that it does not find
from torchao.quantization import pt2e
from torchao.quantization.pt2e import quantize_pt2e
from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

from handbook.data import fashion_mnist
from handbook.qat import train
from handbook.running_example import load_running_example, predict

warnings.filterwarnings("ignore", "`isinstance.treespec, LeafSpec.` is deprecated")
torch.set_num_threads(1)
calibration_images = fashion_mnist("train")[0][:1000]
test_images, labels = fashion_mnist("test")
example_inputs = (torch.from_numpy(calibration_images[:2]),)


# %% float
def export(model):
    shapes = ({0: torch.export.Dim("batch")},)
    return torch.export.export(model, example_inputs, dynamic_shapes=shapes).module()


def quantizer(is_qat):
    config = x86.get_default_x86_inductor_quantization_config(is_qat=is_qat)
    return x86.X86InductorQuantizer().set_global(config)


# %% ptq
observed = quantize_pt2e.prepare_pt2e(export(load_running_example()), quantizer(False))
predict(observed, calibration_images)
int8 = quantize_pt2e.convert_pt2e(copy.deepcopy(observed))

# %% qat
exported = export(load_running_example().train())
trained = quantize_pt2e.prepare_qat_pt2e(exported, quantizer(True))
train(pt2e.allow_exported_model_train_eval(trained), seed=0, rate=0.001, count=2560)
trained.apply(pt2e.disable_observer)
trained_int8 = quantize_pt2e.convert_pt2e(copy.deepcopy(trained))

# %% results
from handbook.conversions import conversions, parity

models = [load_running_example(), export(load_running_example())]
models += [observed, int8, trained, trained_int8]
eager, exported, after, converted, learned, learned_int8 = (
    predict(model, test_images) for model in models
)
steps = {
    ("PyTorch eager, float", "PyTorch PT2E, float", "torch.export.export"): (exported, eager),
    ("PyTorch PT2E, float", "PyTorch PT2E, observed", "prepare_pt2e"): (after, exported),
    ("PyTorch PT2E, observed", "PyTorch PT2E, int8", "convert_pt2e"): (converted, after),
    ("PyTorch PT2E, float", "PyTorch PT2E, QAT", "prepare_qat_pt2e, training"): (learned, exported),
    ("PyTorch PT2E, QAT", "PyTorch PT2E, int8", "convert_pt2e"): (learned_int8, learned),
}
rows = {step: parity(to, of, labels) for step, (to, of) in steps.items()}
conversions(rows, because="kernels and training differ between CPUs")
export_step, prepare_step, *_, convert_step = rows.values()
assert max(step["largest difference"] for step in (export_step, prepare_step)) < 1e-4
assert convert_step["same answer %"] > 97
