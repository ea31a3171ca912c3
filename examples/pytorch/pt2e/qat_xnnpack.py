"""PT2E: quantization aware training with ExecuTorch's XNNPACKQuantizer.

Prepared, trained and converted like any other; beside it, the float network is trained on the same
images and quantized after training.
Source: executorch/backends/xnnpack/quantizer/xnnpack_quantizer.py, executorch 1.4.
"""

# %% load
import logging
import warnings

import torch

from handbook.data import fashion_mnist
from handbook.qat import train
from handbook.running_example import load_running_example, predict
from handbook.tflite import quiet

logging.disable(logging.WARNING)
warnings.filterwarnings("ignore", "`isinstance.treespec, LeafSpec.` is deprecated")
from torchao.quantization import pt2e
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e, prepare_qat_pt2e

with quiet():  # C++ libraries that greet
    from executorch.backends.xnnpack.quantizer import xnnpack_quantizer as xnnpack

torch.set_num_threads(1)
calibration_images = fashion_mnist("train")[0][:1000]
test_images, labels = fashion_mnist("test")
example_inputs = (torch.from_numpy(calibration_images[:2]),)
any_batch = ({0: torch.export.Dim("batch")},)

# %% train
config = xnnpack.get_symmetric_quantization_config(is_per_channel=True, is_qat=True)
model = load_running_example().train()
exported = torch.export.export(model, example_inputs, dynamic_shapes=any_batch)
prepared = prepare_qat_pt2e(exported.module(), xnnpack.XNNPACKQuantizer().set_global(config))
pt2e.allow_exported_model_train_eval(prepared)
train(prepared, seed=0, rate=0.001, count=1920)  # 15 batches
prepared.apply(pt2e.disable_observer)
fake_logits = predict(prepared, test_images)
logits = predict(convert_pt2e(prepared), test_images)

# %% control
trained = train(load_running_example(), seed=0, rate=0.001, count=1920)
config = xnnpack.get_symmetric_quantization_config(is_per_channel=True)
exported = torch.export.export(trained, example_inputs, dynamic_shapes=any_batch)
prepared = prepare_pt2e(exported.module(), xnnpack.XNNPACKQuantizer().set_global(config))
predict(prepared, calibration_images)
control_logits = predict(convert_pt2e(prepared), test_images)

# %% results
from handbook.measure import SCORE_TOLERANCE, agreement, score
from handbook.record import record, table

float_logits = predict(load_running_example(), test_images)
runs = {
    "float32": float_logits,
    "float32, trained on, then PTQ": control_logits,
    "QAT: fake-quantized": fake_logits,
    "QAT: converted": logits,
}
rows = [{"model": run} | score(found, labels, float_logits) for run, found in runs.items()]
tolerance = dict.fromkeys(SCORE_TOLERANCE["tolerance"], 2)
table("results", rows, tolerance=tolerance, because="training on another CPU ends elsewhere")
same = agreement(logits, fake_logits)
record(same=same, tolerance=2, because="training on another CPU ends elsewhere")
accuracies = [row["accuracy %"] for row in rows]
assert max(accuracies) - min(accuracies) < 2.5 and same > 97
