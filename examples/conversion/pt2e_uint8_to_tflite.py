"""A PT2E model with uint8 activations to TFLite: the crash, the cure, and the float operators left.

X86InductorQuantizer's model converts without a word, and its file ends the process that loads it;
shifted to int8 it runs, with the operators in float that this quantizer leaves so.
Source: run with torchao 0.18 and LiteRT Torch (formerly ai_edge_torch) 0.10.
"""

# %% load
import logging
import signal
import subprocess
import sys
import warnings

import torch

from handbook.data import fashion_mnist
from handbook.record import artifact
from handbook.running_example import load_running_example, predict
from handbook.tflite import quiet

logging.disable(logging.WARNING)  # torchao mentions the GPU kernels that it does not find
warnings.filterwarnings("ignore", "`isinstance.treespec, LeafSpec.` is deprecated")
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

from handbook import export, to_tflite

with quiet():  # it imports TensorFlow
    from handbook.litert import litert_torch

from litert_torch.quantize.pt2e_quantizer import PT2EQuantizer, get_symmetric_quantization_config
from litert_torch.quantize.quant_config import QuantConfig

torch.set_num_threads(1)
test_images, labels = fashion_mnist("test")
example_inputs = (torch.from_numpy(test_images[:2].copy()),)
any_batch = ({0: torch.export.Dim("batch")},)

# %% quantize
quantizer = x86.X86InductorQuantizer()
quantizer.set_global(x86.get_default_x86_inductor_quantization_config())
exported = torch.export.export(load_running_example(), example_inputs, dynamic_shapes=any_batch)
prepared = prepare_pt2e(exported.module(), quantizer)
predict(prepared, fashion_mnist("train")[0][:1000])
uint8 = convert_pt2e(prepared)

# %% convert
litert_config = get_symmetric_quantization_config(is_per_channel=True, is_dynamic=False)
quant_config = QuantConfig(pt2e_quantizer=PT2EQuantizer().set_global(litert_config))


def convert(model, name):
    path = artifact(f"conversion/pt2e_uint8_to_tflite/{name}.tflite")
    nhwc = litert_torch.to_channel_last_io(to_tflite.unfold_weights(model), args=[0])
    with quiet():
        example = (torch.zeros(1, 28, 28, 1),)
        litert_torch.convert(nhwc, example, quant_config=quant_config).export(str(path))
    return path


# %% crash
code = "import sys; from ai_edge_litert.interpreter import Interpreter as I; i = I(sys.argv[1]); "
code += "print('loaded', flush=True); i.allocate_tensors(); print('allocated')"
run = subprocess.run([sys.executable, "-c", code, convert(uint8, "uint8")], capture_output=True)
print(run.stdout.decode().strip(), "-> ended by", signal.Signals(-run.returncode).name)
assert run.stdout.split() == [b"loaded"]

# %% cure
from handbook.tflite_operators import tflite_operators

int8 = to_tflite.round_biases(export.shift_to_int8(uint8))
path = convert(int8, "int8")
in_float = [op.name for op in tflite_operators(path) if not op.integer]
print("in float:", *in_float)
assert in_float == ["CONV_2D", "ADD", "FULLY_CONNECTED"]

# %% results
from handbook.conversions import conversions, parity

int8_logits = predict(int8, test_images)
row = parity(to_tflite.run(path, test_images), int8_logits, labels) | to_tflite.columns(path)
way = "LiteRT Torch, shifted from X86InductorQuantizer"
edges = {("PyTorch PT2E, int8", "TFLite, int8", way): row}
conversions(edges, because="kernels of another CPU round ties apart")
assert row["same answer %"] >= 99.5 and row["float operators"] == 3
