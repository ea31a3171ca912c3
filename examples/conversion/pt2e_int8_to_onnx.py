"""PyTorch PT2E int8 to ONNX int8: the quantizer decides what ONNX Runtime fuses.

X86InductorQuantizer leaves out what Inductor fuses; XNNPACKQuantizer has int8 activations, which
ONNX Runtime does not take everywhere on x86. Shifted to uint8, all of it becomes integer kernels.
Source: torch.onnx.export, PyTorch 2.13; the quantizers of torchao 0.18 and executorch 1.4.
"""

# %% load
import logging
import warnings

import numpy as np
import onnx
import onnxruntime
import torch

from handbook.data import fashion_mnist
from handbook.measure import file_size_kib
from handbook.record import artifact, record, table
from handbook.running_example import load_running_example, predict
from handbook.tflite import quiet

logging.disable(logging.WARNING)  # of torchao and the exporter, on what they do not find
warnings.simplefilter("ignore")
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

with quiet():  # it greets
    from executorch.backends.xnnpack.quantizer import xnnpack_quantizer as xnnpack
logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # torchvision's operators are skipped
onnxruntime.set_default_logger_severity(3)
calibration_images = fashion_mnist("train")[0][:1000]
test_images, labels = fashion_mnist("test")
images = torch.from_numpy(np.ascontiguousarray(test_images[:2]))

# %% quantize
any_batch = ({0: torch.export.Dim("batch")},)
exported = torch.export.export(load_running_example(), (images,), dynamic_shapes=any_batch)
quantizers = {
    "X86InductorQuantizer": x86.X86InductorQuantizer().set_global(
        x86.get_default_x86_inductor_quantization_config()
    ),
    "XNNPACKQuantizer": xnnpack.XNNPACKQuantizer().set_global(
        xnnpack.get_symmetric_quantization_config(is_per_channel=True)
    ),
}
models = {}
for name, quantizer in quantizers.items():
    prepared = prepare_pt2e(exported.module(), quantizer)
    predict(prepared, calibration_images)
    models[name] = convert_pt2e(prepared)

# %% round
from handbook.to_onnx import round_exported_biases, shift_to_uint8, tidy

models = {name: round_exported_biases(model) for name, model in models.items()}
models["XNNPACKQuantizer, shifted to uint8"] = shift_to_uint8(models["XNNPACKQuantizer"])

# %% export
paths = {}
for name, model in models.items():
    file = name.replace(", ", "-").replace(" ", "_")
    paths[name] = artifact(f"conversion/pt2e_int8_to_onnx/{file}.onnx")
    options = {"input_names": ["images"], "dynamic_shapes": any_batch, "external_data": False}
    torch.onnx.export(model, (images,), paths[name], verbose=False, **options)

# %% tidy
before = file_size_kib(paths["XNNPACKQuantizer"])
for path in paths.values():
    tidy(path)  # without the exporter's notes
after = file_size_kib(paths["XNNPACKQuantizer"])
print(before, "KiB with the exporter's notes,", after, "KiB without")
record(before=before, after=after, tolerance=5, because="the notes hold paths of the machine")
assert before > 1.5 * after

# %% fused
from handbook.onnx_kinds import onnx_kinds

rows = []
for name, path in paths.items():
    kinds = onnx_kinds(path, {"images": images.numpy()}, dynamic=False)
    row = {"quantizer": name, "integer operators": kinds.count("int8")}
    row["float operators"] = kinds.count("float")
    nodes = onnx.load(path.with_name("optimized.onnx")).graph.node
    floats = ("Conv", "FusedConv", "Add", "ReduceMean", "Gemm")
    row["in float"] = " ".join(sorted({n.op_type for n in nodes} & set(floats)))
    rows.append(row)
table("fused", rows)
assert rows[-1]["in float"] == "ReduceMean" and rows[-1]["integer operators"] == 13

# %% keep
from handbook.to_onnx import exported_parameters, keep

for name, path in paths.items():
    model = models[name]
    last = [n for n in model.graph.nodes if "quantize_per_tensor" in str(n.target)][-1]
    scale = last.args[1] if "XNNPACK" in name else 0  # X86InductorQuantizer: outputs stay float
    keep(path, predict(model, test_images), scale, exported_parameters(model))
