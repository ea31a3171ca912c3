"""PT2E quantization aware training to TFLite, with LiteRT's PT2EQuantizer.

Its patterns are functions, which torch.export refuses; wrapped in a module they work. The trained
model is converted, and compared with the file on all 10 000 test images.
Source: pt2e_quantizer_utils.py of LiteRT Torch (formerly ai_edge_torch) 0.10; litert-torch#801.
"""

# %% load
import logging
import warnings

import torch

from handbook.data import fashion_mnist
from handbook.qat import train
from handbook.record import artifact, expected
from handbook.running_example import load_running_example, predict
from handbook.tflite import quiet

logging.disable(logging.WARNING)  # torchao mentions the GPU kernels that it does not find
warnings.filterwarnings("ignore", "`isinstance.treespec, LeafSpec.` is deprecated")
from torchao.quantization import pt2e
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_qat_pt2e

from handbook import to_tflite

with quiet():  # it imports TensorFlow
    from handbook.litert import litert_torch

from litert_torch.quantize import pt2e_quantizer_utils
from litert_torch.quantize.pt2e_quantizer import PT2EQuantizer, get_symmetric_quantization_config
from litert_torch.quantize.quant_config import QuantConfig

torch.set_num_threads(1)
test_images, labels = fashion_mnist("test")
example_inputs = (torch.from_numpy(test_images[:2].copy()),)
any_batch = ({0: torch.export.Dim("batch")},)

# %% refused
config = get_symmetric_quantization_config(is_per_channel=True, is_qat=True)
quantizer = PT2EQuantizer().set_global(config)
model = load_running_example().train()
exported = torch.export.export(model, example_inputs, dynamic_shapes=any_batch, strict=True)
with expected(ValueError, "Expected `mod` to be an instance of `torch.nn.Module`"):
    prepare_qat_pt2e(exported.module(), quantizer)


# %% wrapped
class Pattern(torch.nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *inputs):
        return self.function(*inputs)


to_graph = pt2e_quantizer_utils._get_aten_graph_module_for_pattern
pt2e_quantizer_utils._get_aten_graph_module_for_pattern = lambda function, *arguments, **options: (
    to_graph(Pattern(function), *arguments, **options)
)

# %% train
prepared = prepare_qat_pt2e(exported.module(), quantizer)
pt2e.allow_exported_model_train_eval(prepared)
train(prepared, seed=0, rate=0.001, count=1920)  # 15 batches
prepared.apply(pt2e.disable_observer)

# %% convert
rounded = to_tflite.round_biases(convert_pt2e(prepared))
path = artifact("conversion/pt2e_qat_to_tflite/int8.tflite")
nhwc = litert_torch.to_channel_last_io(to_tflite.unfold_weights(rounded), args=[0])
with quiet():
    quant_config, example = QuantConfig(pt2e_quantizer=quantizer), (torch.zeros(1, 28, 28, 1),)
    litert_torch.convert(nhwc, example, quant_config=quant_config).export(str(path))

# %% results
from handbook.conversions import conversions, parity
from handbook.record import record

logits, scale = to_tflite.run(path, test_images), to_tflite.output_scale(path)
row = parity(logits, predict(rounded, test_images), labels, scale)
equal, total = to_tflite.equal_parameters(rounded, path)
row |= {"equal parameters %": 100 * equal / total} | to_tflite.columns(path)
conversions(
    {("PyTorch PT2E, QAT", "TFLite, int8", "LiteRT Torch"): row},
    because="another CPU trains to other weights",
)
record(parameters=total)
assert equal == total and row["same answer %"] >= 99.5 and row["float operators"] == 0
assert int(row["largest difference"].split()[0]) <= 2
