"""Which layers does ONNX Runtime quantize?

Models of one layer each, exported to ONNX: static, dynamic and weight-only. What counts is the
graph that ONNX Runtime makes of the file, in which kernels for integers have names of their own.
Source: onnxruntime.quantization 1.32; SessionOptions.optimized_model_filepath.
"""

# %% load
import json
import logging
import warnings

import onnx
import onnxruntime
import torch

from handbook.findings import examine, rows
from handbook.one_layer import between, torch_layers
from handbook.onnx_kinds import onnx_kinds
from handbook.record import artifact, table

warnings.simplefilter("ignore")  # notices of the older exporter, and of batch sizes
logging.disable(logging.WARNING)  # of each layer that a quantizer passes by
onnxruntime.set_default_logger_severity(3)
layers = torch_layers()  # name: (model of that layer alone, its inputs)
results = artifact("static_dynamic/operators_onnx/results.json")
exported, prepared, quantized = (
    results.with_name(f"{name}.onnx") for name in ("exported", "prepared", "int8")
)

# %% quantize
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer
from onnxruntime.quantization.onnx_model import ONNXModel
from onnxruntime.quantization.shape_inference import quant_pre_process


class Reader(CalibrationDataReader):
    def __init__(self, feed):
        self.feeds = iter([feed])

    def get_next(self):
        return next(self.feeds, None)


def quantize(name, model=None):
    layer, inputs = layers[name]
    # The older exporter is many times as fast as the default one, but cannot do two of the layers.
    new = name in ("MultiheadAttention", "RMSNorm")
    torch.onnx.export(model or layer, inputs, exported, dynamo=new, opset_version=20, verbose=False)
    quant_pre_process(exported, prepared)
    names = [tensor.name for tensor in onnx.load(exported).graph.input]
    feed = {key: x.numpy() for key, x in zip(names, inputs, strict=True)}
    if way == "static":
        scheme = {"activation_type": QuantType.QUInt8, "per_channel": True}
        quantize_static(prepared, quantized, Reader(feed), **scheme)
    elif way == "dynamic":
        quantize_dynamic(prepared, quantized, weight_type=QuantType.QUInt8)
    else:
        float_model = ONNXModel(onnx.load(prepared))
        float_model.replace_gemm_with_matmul()  # Linear is a Gemm, which it passes by
        quantizer = MatMulNBitsQuantizer(float_model.model)
        quantizer.process()
        quantizer.model.save_model_to_file(str(quantized))
    return onnx_kinds(quantized, feed, dynamic=way == "dynamic")


def quantize_between(name):
    """Of a layer that follows: float alone, and int8 between two int8 layers."""
    layer, inputs = layers[name]
    model = between(layer, inputs)
    return model and quantize(name, model)[len(inputs) : -1]


# %% results
columns = {}
for way in ("static", "dynamic", "weight-only"):
    second_chance = quantize_between if way == "static" else None
    columns[f"ORT {way}"], errors = examine(layers, quantize, second_chance)
    assert not errors
table("results", rows(columns))
results.write_text(json.dumps(columns))
assert columns["ORT dynamic"]["LSTM"] == "int8" and columns["ORT dynamic"]["GRU"] == "float"
