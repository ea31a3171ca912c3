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

model = fuse(load_running_example())  # folds each BatchNorm into its convolution
images, labels = fashion_mnist("test")
ranges = json.loads(artifact("affine/calibration_methods/ranges.json").read_text())
ranges = ranges["clean/8/minimum and maximum"]  # of the input of each layer
weights = {name: model.get_submodule(name).weight.detach().clone() for name in ranges}


# %% quantize
def fake_quantize(x, low, high, bits, symmetric):
    """Quantize and dequantize; `low` and `high` broadcast to `x`."""
    if symmetric:
        quant_max = 2 ** (bits - 1) - 1
        scale = torch.maximum(-low, high) / quant_max
        return (x / scale).round_().clamp_(-quant_max, quant_max).mul_(scale)
    scale = (high - low) / (2**bits - 1)
    zero_point = torch.round(-low / scale)
    return (x / scale).round_().add_(zero_point).clamp_(0, 2**bits - 1).sub_(zero_point).mul_(scale)


def quantize_weights(bits, symmetric):
    for name, weight in weights.items():
        low, high = weight.flatten(1).aminmax(dim=1)
        low, high = (r.reshape(-1, *[1] * (weight.dim() - 1)) for r in (low, high))
        low, high = low.clamp(max=0), high.clamp(min=0)
        quantized = fake_quantize(weight, low, high, bits, symmetric)
        model.get_submodule(name).weight.data = quantized


def predict_quantized(bits, symmetric):
    """Logits with the input of each layer quantized."""
    handles = []
    for name, (low, high) in ranges.items():
        limits = torch.tensor(low).clamp(max=0), torch.tensor(high)
        handles.append(
            model.get_submodule(name).register_forward_pre_hook(
                lambda layer, x, limits=limits: fake_quantize(x[0], *limits, bits, symmetric)
            )
        )
    with torch.inference_mode():  # 100 at a time are the fastest here
        logits = torch.cat([model(batch) for batch in torch.from_numpy(images).split(100)])
    for handle in handles:
        handle.remove()
    return logits.numpy()


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
