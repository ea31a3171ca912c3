"""FX quantization aware training to PT2E by a Quantizer with fixed parameters.

Every edge of the exported float network gets the scale and the zero point that FX has trained. The
outputs on all 10 000 test images are those of the decomposed reference.
Source: torchao/quantization/pt2e/quantizer/quantizer.py, torchao 0.18; handbook.fixed_quantizer.
"""

# %% load
import logging
import warnings

import torch

logging.disable(logging.WARNING)  # torchao mentions the GPU kernels that it does not find
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

from handbook import export
from handbook.data import fashion_mnist
from handbook.fixed_quantizer import FixedQuantizer, marked
from handbook.fx_qat import load_fx_qat
from handbook.record import artifact
from handbook.running_example import predict

warnings.simplefilter("ignore")  # deprecation notices of FX mode, and of its tensor types
torch.set_num_threads(1)
torch.backends.quantized.engine = "onednn"
test_images, labels = fashion_mnist("test")
example_inputs = (torch.from_numpy(test_images[:2]),)  # two: one would fix the batch at 1
any_batch = ({0: torch.export.Dim("batch")},)
trained = load_fx_qat(artifact("pytorch/export/fx_qat_to_pt2e_qat/trained.pt"))

# %% mark
floats = marked(trained)  # the float network, with a mark in the place of each fake quantizer
exported = torch.export.export(floats, example_inputs, dynamic_shapes=any_batch).module()
for node in [node for node in exported.graph.nodes if "clone" in node.name][:2]:
    path, kind = next(reversed(node.meta["nn_module_stack"].values()))
    print(node.format_node(), "is", path)

# %% annotate
quantizer = FixedQuantizer(trained)
prepared = prepare_pt2e(exported, quantizer)  # no calibration
converted = convert_pt2e(prepared)
for node in exported.graph.nodes:
    annotation = node.meta.get("quantization_annotation")
    if node.name in ("conv2d_9", "relu_7", "relu_8", "cat"):
        inputs = [f"{x}: {type(spec).__name__}" for x, spec in annotation.input_qspec_map.items()]
        print(node.name, *inputs, sep="\n    ")
        print("    output:", annotation.output_qspec)

# %% compare
from handbook.conversions import conversions, parity

reference = export.fx_prepared_to_pt2e(trained, example_inputs, any_batch)
wanted, found = (export.activation_parameters(model) for model in (reference, converted))
assert list(wanted.values()) == list(found.values())  # all scales, zero points and limits
pairs = zip(export.integer_weights(reference), export.integer_weights(converted), strict=True)
assert all(torch.equal(a, b) for pair in pairs for a, b in zip(*pair, strict=True))

logits = predict(reference, test_images)
assert (predict(converted, test_images) == logits).all()  # to the last bit

# %% int8
exported = torch.export.export(floats, example_inputs, dynamic_shapes=any_batch).module()
int8 = convert_pt2e(prepare_pt2e(exported, FixedQuantizer(trained, int8=True)))
limits = {parameters[2:] for parameters in export.activation_parameters(int8).values()}
print(*limits)
int8_logits = predict(int8, test_images)
assert (int8_logits == logits).all() and limits == {(-128, 127)}

# %% results
step = list(wanted.values())[-1][0]
row = parity(int8_logits, logits, labels, step) | {"equal parameters %": 100.0}
edge = ("PyTorch FX, QAT", "PyTorch PT2E, int8", "Quantizer with fixed parameters")
conversions({edge: row}, because="training on another CPU ends elsewhere")
