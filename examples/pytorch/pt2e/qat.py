"""PT2E: quantization aware training with X86InductorQuantizer.

The running example is exported in training mode, prepared, trained and converted; beside it, the
float network is trained on the same images and quantized after training.
Source: the docstring of torchao.quantization.pt2e.quantize_pt2e.prepare_qat_pt2e, torchao 0.18.
"""

# %% load
import logging

import torch

from handbook.data import fashion_mnist
from handbook.qat import train
from handbook.running_example import load_running_example, predict

logging.disable(logging.WARNING)  # torchao mentions the GPU kernels that it does not find
from torchao.quantization import pt2e
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e, prepare_qat_pt2e
from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

torch.set_num_threads(1)
calibration_images = fashion_mnist("train")[0][:1000]
test_images, labels = fashion_mnist("test")
example_inputs = (torch.from_numpy(calibration_images[:2]),)
any_batch = ({0: torch.export.Dim("batch")},)

# %% prepare
model = load_running_example().train()  # training mode, before the export
exported = torch.export.export(model, example_inputs, dynamic_shapes=any_batch)
quantizer = x86.X86InductorQuantizer()
quantizer.set_global(x86.get_default_x86_inductor_quantization_config(is_qat=True))
prepared = prepare_qat_pt2e(exported.module(), quantizer)
calls = [str(node.target) for node in prepared.graph.nodes if "batch_norm" in str(node.target)]
print(len(calls), calls[0])
assert len(calls) == 10  # batch normalization stays while we train

# %% train
pt2e.allow_exported_model_train_eval(prepared)  # train() below calls model.train() and .eval()
train(prepared, seed=0, rate=0.001, count=2560)  # 20 batches

# %% freeze
prepared.apply(pt2e.disable_observer)  # before the evaluation: eval() leaves observers on
fake_logits = predict(prepared, test_images)

# %% convert
quantized = convert_pt2e(prepared)
logits = predict(quantized, test_images)
left = [node for node in quantized.graph.nodes if "batch_norm" in str(node.target)]
print("batch normalizations left:", len(left))
assert not left  # folded into the convolutions


# %% control
def ptq(model):
    exported = torch.export.export(model, example_inputs, dynamic_shapes=any_batch)
    quantizer = x86.X86InductorQuantizer()
    quantizer.set_global(x86.get_default_x86_inductor_quantization_config())
    prepared = prepare_pt2e(exported.module(), quantizer)
    predict(prepared, calibration_images)
    return convert_pt2e(prepared)


trained = train(load_running_example(), seed=0, rate=0.001, count=2560)  # the same images

# %% results
from handbook.measure import SCORE_TOLERANCE, agreement, score
from handbook.record import record, table

float_logits = predict(load_running_example(), test_images)
runs = {
    "float32": float_logits,
    "PTQ": predict(ptq(load_running_example()), test_images),
    "float32, trained on": predict(trained, test_images),
    "float32, trained on, then PTQ": predict(ptq(trained), test_images),
    "QAT: fake-quantized": fake_logits,
    "QAT: converted": logits,
}
rows = [{"model": run} | score(found, labels, float_logits) for run, found in runs.items()]
tolerance = dict.fromkeys(SCORE_TOLERANCE["tolerance"], 2)
table("results", rows, tolerance=tolerance, because="training on another CPU ends elsewhere")
same, difference = agreement(logits, fake_logits), float(abs(logits - fake_logits).max())
record(same=same, tolerance=2, because="training on another CPU ends elsewhere")
record(difference=difference, tolerance=1, because="training on another CPU ends elsewhere")
accuracies = [row["accuracy %"] for row in rows]
assert max(accuracies) - min(accuracies) < 2.5 and same > 97
