"""A Quantizer of one's own: convolutions, linear layers, additions, concatenations and means.

PT2E asks a Quantizer to annotate nodes of the exported graph, and inserts observers accordingly.
This one knows enough for the running example, and gives the scales that FX gives.
Source: torchao/quantization/pt2e/quantizer/quantizer.py.
"""

# %% load
import json
import logging

import torch

logging.disable(logging.WARNING)  # torchao mentions the GPU kernels that it does not find
from torchao.quantization.pt2e import MinMaxObserver, PerChannelMinMaxObserver
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
from torchao.quantization.pt2e.quantizer import (
    QuantizationAnnotation,
    QuantizationSpec,
    Quantizer,
    SharedQuantizationSpec,
)

from handbook.data import fashion_mnist
from handbook.running_example import load_running_example, predict

activation = QuantizationSpec(torch.uint8, MinMaxObserver, 0, 255, torch.per_tensor_affine)
weight = QuantizationSpec(
    torch.int8, PerChannelMinMaxObserver, -128, 127, torch.per_channel_symmetric, ch_axis=0
)
aten = torch.ops.aten
torch.set_num_threads(1)


# %% own_quantizer
class OwnQuantizer(Quantizer):
    """Quantize convolutions, linear layers and additions; concatenations and means share."""

    def annotate(self, model):
        for node in model.graph.nodes:
            if node.target in (aten.conv2d.default, aten.linear.default):
                self.annotate_layer(node)
            elif node.target is aten.add.Tensor:
                self.annotate_node(node, dict.fromkeys(node.all_input_nodes, activation))
            elif node.target in (aten.cat.default, aten.mean.dim):
                self.annotate_sharing(node)
        return model

    def annotate_layer(self, node):
        x, w = node.args[:2]  # and a bias, which stays float
        user = next(iter(node.users))
        fused = len(node.users) == 1 and user.target is aten.relu.default
        self.annotate_node(node, {x: activation, w: weight}, None if fused else activation)
        if fused:  # nothing is rounded between a layer and its ReLU
            self.annotate_node(user, {})

    def annotate_sharing(self, node):
        first, *others = node.all_input_nodes
        shared = SharedQuantizationSpec((first, node))  # the edge from the first input
        inputs = {first: activation} | dict.fromkeys(others, shared)
        self.annotate_node(node, inputs, shared)

    def annotate_node(self, node, inputs, output=activation):
        node.meta["quantization_annotation"] = QuantizationAnnotation(
            input_qspec_map=inputs, output_qspec=output, _annotated=True
        )

    def validate(self, model):
        pass  # a backend would refuse here what its kernels lack


# %% quantize
calibration_images = fashion_mnist("train")[0][:500]
images = (torch.from_numpy(calibration_images),)
exported = torch.export.export(load_running_example(), images).module()
prepared = prepare_pt2e(exported, OwnQuantizer())
predict(prepared, calibration_images)
found = [
    [parameter.tolist() for parameter in prepared.get_submodule(node.target).calculate_qparams()]
    for node in prepared.graph.nodes
    if node.name.startswith("activation_post_process") and node.args[0].op != "get_attr"
]  # of activations; get_attr nodes are weights
quantized = convert_pt2e(prepared)

# %% same_as_fx
from handbook.record import artifact, table

fx = json.loads(artifact("pytorch/configuration/fx_qconfig_mapping/parameters.json").read_text())
assert found == [value for tensor, value in fx.items() if not tensor.endswith(" weight")]
print(len(found), "activations, with the scales and zero points of FX")

# %% results
from handbook.measure import SCORE_TOLERANCE, score

test_images, labels = fashion_mnist("test")
models = {"float32": load_running_example(), "int8, OwnQuantizer": quantized}
logits = {name: predict(model, test_images) for name, model in models.items()}
rows = [{"model": name} | score(each, labels, logits["float32"]) for name, each in logits.items()]
table("results", rows, **SCORE_TOLERANCE)
assert rows[1]["accuracy %"] > rows[0]["accuracy %"] - 1
