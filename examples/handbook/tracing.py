"""Rewriting a model so that FX can trace it: what the examples of a rewrite share."""

import copy

import torch
from torch import nn
from torch.ao.quantization import get_default_qconfig_mapping
from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

from handbook.data import fashion_mnist
from handbook.measure import agreement
from handbook.running_example import load_running_example, predict


class Around(nn.Module):
    """The running example as `self.network`, in eval mode: for a `forward` around it."""

    def __init__(self):
        super().__init__()
        self.network = load_running_example()
        self.eval()


def check(before: nn.Module, after: nn.Module) -> nn.Module:
    """Assert that `after` traces, quantizes, and computes what `before` does; return it in int8.

    Both take images (N, 1, 28, 28). Prints the agreement of int8 and float on 500 test images.
    """
    images = fashion_mnist("test")[0][:500]
    float_logits = predict(before, images)
    traced_logits = predict(torch.fx.symbolic_trace(after), images)
    torch.testing.assert_close(traced_logits, float_logits, rtol=1e-4, atol=1e-4)

    mapping = get_default_qconfig_mapping("x86")
    prepared = prepare_fx(copy.deepcopy(after), mapping, (torch.from_numpy(images[:1]),))
    predict(prepared, fashion_mnist("train")[0][:200])
    quantized = convert_fx(prepared)
    same = agreement(predict(quantized, images), float_logits)
    print(f"{type(after).__name__} traces and quantizes; same answer as float: {same:.1f} %")
    assert same > 95
    return quantized
