"""LiteRT Torch and the AI Edge Quantizer: what goes wrong on the way to a quantized TFLite file.

A forgotten quant_config, folded weights, a configuration without a quantizer; names of inputs, no
calibration, and a file that exists: each with its message or with what the file holds.
Source: run with LiteRT Torch 0.10 and ai-edge-quantizer 0.10.
"""

# %% load
import contextlib
import logging
import warnings

import numpy as np
import torch

from handbook.data import fashion_mnist
from handbook.record import artifact, expected, record
from handbook.running_example import load_running_example, predict
from handbook.tflite import quiet

logging.disable(logging.WARNING)  # torchao mentions the GPU kernels that it does not find
warnings.filterwarnings("ignore", "`isinstance.treespec, LeafSpec.` is deprecated")
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

from handbook import to_tflite

with quiet():  # they import TensorFlow
    from ai_edge_quantizer import quantizer as ai_edge
    from ai_edge_quantizer import recipe

    from handbook.litert import litert_torch

from litert_torch.quantize.pt2e_quantizer import PT2EQuantizer, get_symmetric_quantization_config
from litert_torch.quantize.quant_config import QuantConfig

torch.set_num_threads(1)
test_images, labels = fashion_mnist("test")
images = torch.from_numpy(np.ascontiguousarray(test_images[:20].transpose(0, 2, 3, 1)))
model = litert_torch.to_channel_last_io(load_running_example(), args=[0]).eval()
float_path = artifact("conversion/pytorch_float_to_tflite_quantized/float32.tflite")
path = artifact("conversion/pytorch_float_to_tflite_errors/model.tflite")
quantizer = PT2EQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=True))
prepared = prepare_pt2e(torch.export.export(model, (images,), strict=True).module(), quantizer)
predict(prepared, images.numpy())

# %% forgotten
converted = convert_pt2e(prepared, fold_quantize=False)
with quiet():
    litert_torch.convert(converted, (images,)).export(str(path))  # no quant_config
columns, right = to_tflite.columns(path), to_tflite.columns(float_path.with_name("int8.tflite"))
print("without quant_config:", columns)
print("with quant_config:   ", right)
assert columns["integer operators"] == 0 < columns["float operators"]
sizes = {"forgotten_kib": columns["size KiB"], "int8_kib": right["size KiB"]}
record(**sizes, tolerance=5, because="the converter's version")

# %% folded
folded = convert_pt2e(prepared)  # fold_quantize=True is the default
try:
    with quiet():
        quant_config = QuantConfig(pt2e_quantizer=quantizer)
        litert_torch.convert(folded, (images,), quant_config=quant_config)
except ValueError as error:  # its message goes on with the place in the source
    message = str(error)
print("ValueError:", message.partition(": ")[0], "...", message[message.index("error:") :].strip())
assert "'stablehlo.uniform_dequantize' op operand #0 must be" in message

# %% unfolded
unfolded = to_tflite.unfold_weights(folded)
assert (predict(unfolded, images.numpy()) == predict(folded, images.numpy())).all()

# %% no_quantizer
with expected(ValueError, "Either pt2e_quantizer or generative_recipe must be set."):
    QuantConfig()

# %% batch
from handbook.tflite import run_tflite

nchw_path = path.with_name("nchw.tflite")
one_image = (torch.zeros(1, 1, 28, 28),)
with quiet():
    litert_torch.convert(load_running_example(), one_image).export(str(nchw_path))
with expected(RuntimeError, "failed to prepare"):
    run_tflite(nchw_path, test_images[:500].copy())

# %% input_name
tool = ai_edge.Quantizer(str(float_path), recipe.static_wi8_ai8())
with expected(KeyError, "args_0"), quiet():
    tool.calibrate({"serving_default": [{"images": images[:1].numpy()}]})

# %% not_calibrated
with expected(RuntimeError, "statistics values (QSVs) are required"), quiet():
    tool.quantize()

# %% exists
data = {"serving_default": [{"args_0": images[:1].numpy()}]}
with quiet():
    quantized = tool.quantize(tool.calibrate(data, num_threads=1))
with expected(ValueError, "already exists in the folder"), contextlib.chdir(path.parent):
    quantized.export_model("model.tflite")
