"""A model of FX quantization aware training, on its way to another mode or file.

The mapping that it is trained with, and a trained model read back from its state.
"""

from pathlib import Path

import torch
from torch.ao.quantization import FakeQuantize, QConfig, QConfigMapping
from torch.ao.quantization import MovingAverageMinMaxObserver as PerTensor
from torch.ao.quantization import MovingAveragePerChannelMinMaxObserver as PerChannel
from torch.ao.quantization.quantize_fx import prepare_qat_fx

from handbook.data import fashion_mnist
from handbook.running_example import load_running_example

ACTIVATION = {"observer": PerTensor, "quant_min": 0, "quant_max": 255, "dtype": torch.quint8}
WEIGHT = {"observer": PerChannel, "quant_min": -128, "quant_max": 127, "dtype": torch.qint8}


def qat_mapping() -> QConfigMapping:
    """Return a mapping of plain fake quantizers: all 8 bits, weights per channel.

    The default's fused fake quantizer trains with another scale than it converts with.
    """
    weight = FakeQuantize.with_args(**WEIGHT, qscheme=torch.per_channel_symmetric)
    qconfig = QConfig(activation=FakeQuantize.with_args(**ACTIVATION), weight=weight)
    return QConfigMapping().set_global(qconfig)


def load_fx_qat(path: Path) -> torch.fx.GraphModule:
    """Return the running example, trained by FX mode with `qat_mapping`, in eval mode.

    `path` holds its state dict. Fake quantizers observe if they did when it was saved.
    """
    images = torch.from_numpy(fashion_mnist("train")[0][:2])
    model = prepare_qat_fx(load_running_example().train(), qat_mapping(), (images,))
    model.load_state_dict(torch.load(path))
    return model.eval()
