"""PT2E lowered to ExecuTorch: a .pte file for its XNNPACK backend.

The running example, float and quantized with XNNPACKQuantizer, is lowered, saved, loaded and run
with ExecuTorch's own runtime: size, accuracy, agreement with the reference model, latency.
Source: ExecuTorch's page on the XNNPACK backend, docs/source/backends/xnnpack.
"""

# %% load
import logging
import warnings
from functools import partial

import torch

from handbook.data import fashion_mnist
from handbook.running_example import load_running_example, predict
from handbook.tflite import quiet

logging.disable(logging.WARNING)
warnings.filterwarnings("ignore", "`isinstance.treespec, LeafSpec.` is deprecated")
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

with quiet():  # C++ libraries that greet
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
        XNNPACKQuantizer,
        get_symmetric_quantization_config,
    )
    from executorch.exir import to_edge_transform_and_lower
    from executorch.runtime import Runtime

torch.set_num_threads(1)
model = load_running_example()
calibration_images = fashion_mnist("train")[0][:1000]
test_images, labels = fashion_mnist("test")
# NumPy gives the axis of the one channel a stride of 0, which ExecuTorch refuses: copy the images.
images = torch.empty(test_images.shape).copy_(torch.from_numpy(test_images))
example_inputs = (images[:100],)
any_batch = ({0: torch.export.Dim("batch", max=500)},)  # memory is planned for the largest

# %% quantize
exported = torch.export.export(model, example_inputs, dynamic_shapes=any_batch)
quantizer = XNNPACKQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=True))
prepared = prepare_pt2e(exported.module(), quantizer)
predict(prepared, calibration_images)
quantized = convert_pt2e(prepared)


# %% lower
def lower(model):
    exported = torch.export.export(model, example_inputs, dynamic_shapes=any_batch)
    return to_edge_transform_and_lower(exported, partitioner=[XnnpackPartitioner()])


edge = {"float32": lower(model), "int8": lower(quantized)}
calls = [str(n.target) for n in edge["int8"].exported_program().graph.nodes]
print("parts for XNNPACK:", calls.count("executorch_call_delegate"))

# %% save
from handbook.record import artifact

files = {name: artifact(f"pytorch/pt2e/lower_to_executorch/{name}.pte") for name in edge}
for name, file in files.items():
    file.write_bytes(edge[name].to_executorch().buffer)


# %% run
def run(method):
    return torch.cat([method.execute([batch])[0].clone() for batch in images.split(100)]).numpy()


with quiet():  # the runtime tells what it finds out about the CPU
    programs = {name: Runtime.get().load_program(file) for name, file in files.items()}
    methods = {name: program.load_method("forward") for name, program in programs.items()}
    logits = {name: run(method) for name, method in methods.items()}

# %% results
from handbook import measure
from handbook.record import TIMING, record, table

float_logits, reference = predict(model, test_images), predict(quantized, test_images)
rows = [{"ExecuTorch": name} | measure.score(logits[name], labels, float_logits) for name in files]
for row, file in zip(rows, files.values(), strict=True):
    row["size KiB"] = round(measure.file_size_kib(file))
table("results", rows, **measure.SCORE_TOLERANCE)
same = measure.agreement(logits["int8"], reference)
record(same=same, tolerance=1, because="int8 kernels round ties apart")
last = [n for n in quantized.graph.nodes if "dequantize_per_tensor" in str(n.target)][-1]
lsb = measure.lsb_difference(logits["int8"], reference, scale=last.args[1])
record(lsb=lsb, tolerance=4, because="int8 kernels round ties apart, and later layers amplify it")
identical = 100 * float((logits["int8"] == reference).mean())
record(identical=round(identical, 1), tolerance=30, because="int8 kernels round ties apart")
assert rows[0]["same answer as float %"] > 99.9 and same > 98 and lsb <= 8
assert rows[1]["size KiB"] < rows[0]["size KiB"] / 2

# %% latency
times = measure.latency({n: partial(m.execute, [images[:100]]) for n, m in methods.items()})
ratio = measure.speedup(times["float32"], times["int8"])
record(ratio=ratio, tolerance=TIMING)
assert ratio > 0.9 or not measure.has_int8_dot_product()
