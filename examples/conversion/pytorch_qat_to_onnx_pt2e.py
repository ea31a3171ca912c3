"""PT2E quantization aware training to quantized ONNX.

X86InductorQuantizer's fake quantizers train; the converted model is exported. The file's parameters
are those of the conversion, and not quite those that training has used.
Source: torch.onnx.export of PyTorch 2.13, dynamo=True; torchao 0.18; the gap is pytorch/ao#4824.
"""

# %% load
import logging
import warnings

import onnxruntime
import torch

logging.disable(logging.WARNING)  # the exporter and torchao mention packages that they do not find
from torchao.quantization import pt2e
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_qat_pt2e
from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

from handbook.data import fashion_mnist
from handbook.qat import train
from handbook.record import artifact
from handbook.running_example import load_running_example, predict

warnings.simplefilter("ignore")  # notices of PyTorch's own pytree
onnxruntime.set_default_logger_severity(3)  # it warns that the optimized graph is for this CPU
torch.set_num_threads(1)
test_images, labels = fashion_mnist("test")
example_inputs = (torch.from_numpy(test_images[:2].copy()),)
any_batch = ({0: torch.export.Dim("batch")},)

# %% train
model = load_running_example().train()
exported = torch.export.export(model, example_inputs, dynamic_shapes=any_batch).module()
quantizer = x86.X86InductorQuantizer()
quantizer.set_global(x86.get_default_x86_inductor_quantization_config(is_qat=True))
trained = prepare_qat_pt2e(exported, quantizer)
pt2e.allow_exported_model_train_eval(trained)
train(trained, seed=0, rate=0.001, count=1024)  # 8 batches
trained.apply(pt2e.disable_observer)
fakes = [m for m in trained.modules() if isinstance(m, pt2e.FakeQuantizeBase)]

# %% export
from handbook.to_onnx import round_exported_biases, tidy

quantized = round_exported_biases(convert_pt2e(trained))  # to what int32 holds
path = artifact("conversion/pytorch_qat_to_onnx_pt2e/int8.onnx")
settings = {"input_names": ["images"], "dynamic_shapes": any_batch}
settings |= {"external_data": False, "verbose": False}
torch.onnx.export(quantized, example_inputs, path, **settings)
tidy(path)  # the exporter's notes, and zero points that weights share

# %% parameters
from handbook.record import table
from handbook.to_onnx import onnx_parameters


def parameters(choose):
    found = set()
    for fake in fakes:
        scale, zero_point = choose(fake)
        pairs = [(s.item(),) for s in scale] if fake.is_per_channel else [(scale.item(),)]
        found |= set(pairs) if fake.is_per_channel else {(*pairs[0], zero_point.item())}
    return found


in_file, rows = onnx_parameters(path), []
of = {"in training": parameters(lambda fake: (fake.scale, fake.zero_point))}
of["of calculate_qparams"] = parameters(lambda fake: fake.calculate_qparams())
for name, learned in of.items():
    same = 100 * len(learned & in_file) / len(learned | in_file)
    rows.append({"fake quantizers": name, "equal in the file %": round(same, 1)})
table(
    "parameters", rows, tolerance={"equal in the file %": 30}, because="scales depend on training"
)
assert rows[0]["equal in the file %"] < 50 and rows[1]["equal in the file %"] == 100

# %% results
from handbook.conversions import conversions, parity
from handbook.measure import file_size_kib, latency, speedup
from handbook.onnx_kinds import onnx_kinds
from handbook.onnx_session import predict_onnx, session

feed = {"images": test_images[:32]}
float_path = artifact("conversion/pytorch_float_to_onnx_float/running_example.onnx")
sessions = {each.stem: session(each) for each in (float_path, path)}
times = latency({n: lambda s=s: s.run(None, feed) for n, s in sessions.items()}, rounds=20)
kinds = onnx_kinds(path, feed, dynamic=False)
found = predict_onnx(path, test_images, x64quantprecision="1")  # exact sums, without VNNI too
row = parity(found, predict(quantized, test_images), labels)
row |= {"equal parameters %": rows[1]["equal in the file %"], "size KiB": file_size_kib(path)}
row |= {"integer operators": kinds.count("int8"), "float operators": kinds.count("float")}
row["speedup"] = speedup(*times.values())
edge = ("PyTorch PT2E, QAT", "ONNX, int8", "convert_pt2e, torch.onnx.export")
conversions({edge: row}, because="training on another CPU ends elsewhere")
assert row["same answer %"] >= 99.5
