"""Symmetric or asymmetric: what the network makes of it.

Accuracy of the running example with weights (one scale for each output channel) and inputs of its
layers (one scale) quantized with and without zero points.
Source: our own measurement; compare Krishnamoorthi 2018, section 3 (arXiv:1806.08342).
"""

# %% load
import json

import torch
from torch.fx.experimental.optimization import fuse

from handbook.data import fashion_mnist
from handbook.record import artifact
from handbook.running_example import load_running_example, predict

torch.set_num_threads(1)  # two get in each other's way on a busy machine
model = fuse(load_running_example())  # folds each BatchNorm into its convolution
images, labels = fashion_mnist("test")
ranges = json.loads(artifact("affine/calibration_methods/ranges.json").read_text())
ranges = ranges["clean/8/minimum and maximum"]  # of the input of each layer
weights = {name: model.get_submodule(name).weight.detach().clone() for name in ranges}


# %% quantize
def parameters(low, high, bits, symmetric):
    """Scale and zero point, of a tensor or for each channel, and the lowest and highest integer."""
    if symmetric:
        quant_max = 2 ** (bits - 1) - 1
        scale = torch.maximum(-low, high) / quant_max
        return scale, torch.zeros_like(scale, dtype=torch.int32), -quant_max, quant_max
    scale = (high - low) / (2**bits - 1)
    return scale, torch.round(-low / scale).int(), 0, 2**bits - 1


def quantize_weights(bits, symmetric):
    for name, weight in weights.items():
        low, high = weight.flatten(1).aminmax(dim=1)  # of each output channel
        low, high = low.clamp(max=0), high.clamp(min=0)
        scale, zero_point, *limits = parameters(low, high, bits, symmetric)
        quantized = torch.fake_quantize_per_channel_affine(weight, scale, zero_point, 0, *limits)
        model.get_submodule(name).weight.data = quantized


def predict_quantized(bits, symmetric):
    """Logits with the input of each layer quantized."""
    handles = []
    for name, (low, high) in ranges.items():
        of_layer = parameters(torch.tensor(min(low, 0.0)), torch.tensor(high), bits, symmetric)
        handles.append(
            model.get_submodule(name).register_forward_pre_hook(
                lambda layer, x, of=of_layer: torch.fake_quantize_per_tensor_affine(x[0], *of)
            )
        )
    logits = predict(model, images)
    for handle in handles:
        handle.remove()
    return logits


# %% results
from handbook.measure import accuracy, paired
from handbook.record import record, table

float_logits = predict(model, images)
rows, logits = [], {}
for bits in (8, 6):
    for weights_symmetric in (True, False):
        quantize_weights(bits, weights_symmetric)
        for inputs_symmetric in (True, False):
            answers = predict_quantized(bits, inputs_symmetric)
            logits[bits, weights_symmetric, inputs_symmetric] = answers
            row = {"bits": bits, "weights": "symmetric" if weights_symmetric else "asymmetric"}
            row["activations"] = "symmetric" if inputs_symmetric else "asymmetric"
            row["accuracy %"] = accuracy(answers, labels).percent
            rows.append(row | paired(answers, float_logits, labels)._asdict())  # against float
because = "another CPU's kernels sum in another order, and images near a tie change sides"
tolerance = {"accuracy %": 1, "lost": 60, "gained": 60, "p": 1}
table("network", rows, tolerance=tolerance, because=because)
p = {
    bits: paired(logits[bits, False, False], logits[bits, True, False], labels).p for bits in (8, 6)
}
assert min(p.values()) > 0.01  # a zero point of weights makes no difference that shows
assert all(row["accuracy %"] > 89 for row in rows if row["bits"] == 8)
six = {row["activations"]: row["accuracy %"] for row in rows if row["bits"] == 6}
assert six["symmetric"] < six["asymmetric"] - 5
record(weights_8=p[8], weights_6=p[6], tolerance=1, because=because)  # with a zero point, without
