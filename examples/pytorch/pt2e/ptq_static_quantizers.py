"""PT2E: three quantizers on one exported model.

X86InductorQuantizer, LiteRT's PT2EQuantizer and ExecuTorch's XNNPACKQuantizer: what each annotates,
accuracy, agreement and size.
Source: the quantizers of torchao 0.18, litert-torch 0.10 and executorch 1.4.
"""

# %% load
import logging
import warnings
from operator import attrgetter

import torch

from handbook.data import fashion_mnist
from handbook.running_example import load_running_example, predict
from handbook.tflite import quiet

logging.disable(logging.WARNING)
warnings.filterwarnings("ignore", "`isinstance.treespec, LeafSpec.` is deprecated")
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

with quiet():  # they import TensorFlow and C++ libraries that greet
    from executorch.backends.xnnpack.quantizer import xnnpack_quantizer as xnnpack

    from handbook.litert import litert_torch

litert = litert_torch.quantize.pt2e_quantizer
torch.set_num_threads(1)
model = load_running_example()
calibration_images = fashion_mnist("train")[0][:1000]
test_images, labels = fashion_mnist("test")

# %% quantizers
quantizers = {
    "X86InductorQuantizer": x86.X86InductorQuantizer().set_global(
        x86.get_default_x86_inductor_quantization_config()
    ),
    "PT2EQuantizer (LiteRT)": litert.PT2EQuantizer().set_global(
        litert.get_symmetric_quantization_config(is_per_channel=True)
    ),
    "XNNPACKQuantizer": xnnpack.XNNPACKQuantizer().set_global(
        xnnpack.get_symmetric_quantization_config(is_per_channel=True)
    ),
}

# %% quantize
any_batch = ({0: torch.export.Dim("batch")},)
example_inputs = (torch.from_numpy(calibration_images[:2]),)
exported = torch.export.export(model, example_inputs, dynamic_shapes=any_batch)
models = {}
for name, quantizer in quantizers.items():
    prepared = prepare_pt2e(exported.module(), quantizer)  # module() is a new one each time
    predict(prepared, calibration_images)
    models[name] = convert_pt2e(prepared)


# %% annotated
def quantized_outputs(graph):
    """The operators whose output is rounded to integers, with how many of each."""
    nodes = [n for n in graph.nodes if "quantized_decomposed.quantize" in str(n.target)]
    names = [str(n.args[0].target).removeprefix("aten.").partition(".")[0] for n in nodes]
    return ", ".join(f"{names.count(name)} {name}" for name in dict.fromkeys(names))


from handbook.record import table

rows = []
for name, quantized in models.items():
    first = next(n for n in quantized.graph.nodes if "quantize_per_tensor" in str(n.target))
    dtype = str(first.args[5]).removeprefix("torch.")
    rows.append({"quantizer": name, "activations": dtype})
    rows[-1] |= {"rounded to integers": quantized_outputs(quantized.graph)}
table("annotated", rows)

# %% results
from handbook.measure import SCORE_TOLERANCE, agreement, score
from handbook.record import record


def kib(module):
    """Size of the parameters and buffers that the graph reads."""
    names = {node.target for node in module.graph.nodes if node.op == "get_attr"}
    tensors = [attrgetter(name)(module) for name in names]
    return round(sum(tensor.numel() * tensor.element_size() for tensor in tensors) / 1024)


float_logits, logits, rows = predict(model, test_images), {}, []
for name, module in {"float32": exported.module(), **models}.items():
    logits[name] = predict(module, test_images)
    row = {"model": name} | score(logits[name], labels, float_logits)
    rows.append(row | {"tensors KiB": kib(module)})
table("results", rows, **SCORE_TOLERANCE)
same = [agreement(logits["X86InductorQuantizer"], logits[name]) for name in models]
record(least=min(same), tolerance=1, because=SCORE_TOLERANCE["because"])
assert all(row["accuracy %"] > rows[0]["accuracy %"] - 1 for row in rows) and min(same) > 98
