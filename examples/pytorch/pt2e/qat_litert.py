"""PT2E: quantization aware training with LiteRT's PT2EQuantizer.

Its patterns for batch normalization are functions, which torch.export refuses; wrapped in modules
they work, and the model trains and converts.
Source: litert_torch/quantize/pt2e_quantizer_utils.py, litert-torch 0.10; litert-torch#801.
"""

# %% load
import logging
import warnings

import torch

from handbook.data import fashion_mnist
from handbook.qat import train
from handbook.record import expected
from handbook.running_example import load_running_example, predict
from handbook.tflite import quiet

logging.disable(logging.WARNING)
warnings.filterwarnings("ignore", "`isinstance.treespec, LeafSpec.` is deprecated")
from torchao.quantization import pt2e
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e, prepare_qat_pt2e

with quiet():  # TensorFlow greets
    from handbook.litert import litert_torch

litert = litert_torch.quantize.pt2e_quantizer
torch.set_num_threads(1)
calibration_images = fashion_mnist("train")[0][:1000]
test_images, labels = fashion_mnist("test")
example_inputs = (torch.from_numpy(calibration_images[:2]),)
any_batch = ({0: torch.export.Dim("batch")},)

# %% refused
config = litert.get_symmetric_quantization_config(is_per_channel=True, is_qat=True)
model = load_running_example().train()
exported = torch.export.export(model, example_inputs, dynamic_shapes=any_batch)
with expected(ValueError, "Expected `mod` to be an instance of `torch.nn.Module`"):
    prepare_qat_pt2e(exported.module(), litert.PT2EQuantizer().set_global(config))


# %% wrapped
from litert_torch.quantize import pt2e_quantizer_utils


class Pattern(torch.nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *inputs):
        return self.function(*inputs)


to_graph = pt2e_quantizer_utils._get_aten_graph_module_for_pattern
pt2e_quantizer_utils._get_aten_graph_module_for_pattern = lambda function, *arguments, **options: (
    to_graph(Pattern(function), *arguments, **options)
)

# %% train
prepared = prepare_qat_pt2e(exported.module(), litert.PT2EQuantizer().set_global(config))
pt2e.allow_exported_model_train_eval(prepared)
train(prepared, seed=0, rate=0.001, count=1920)  # 15 batches
prepared.apply(pt2e.disable_observer)
fake_logits = predict(prepared, test_images)
logits = predict(convert_pt2e(prepared), test_images)

# %% control
trained = train(load_running_example(), seed=0, rate=0.001, count=1920)
config = litert.get_symmetric_quantization_config(is_per_channel=True)
exported = torch.export.export(trained, example_inputs, dynamic_shapes=any_batch)
prepared = prepare_pt2e(exported.module(), litert.PT2EQuantizer().set_global(config))
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
