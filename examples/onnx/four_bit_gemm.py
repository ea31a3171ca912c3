"""ONNX Runtime: the layers that MatMulNBits passes by.

A feed-forward block of the sentence encoder, for tokens in two dimensions. PyTorch exports its
layers as Gemm; the quantizer looks for MatMul, and leaves them as they are without a word.
Source: onnxruntime.quantization.matmul_nbits_quantizer; ONNXModel.replace_gemm_with_matmul.
"""

# %% export
import logging
import warnings

import onnx
import torch
from torch import nn

from handbook.record import artifact
from handbook.text import load_sentence_encoder

logging.disable(logging.WARNING)  # what it quantizes, node by node
warnings.filterwarnings("ignore", "`isinstance.treespec, LeafSpec.` is deprecated")

layer = load_sentence_encoder().layers[0]
feed_forward = nn.Sequential(layer.intermediate, nn.GELU(), layer.output).eval()
path = artifact("onnx/four_bit_gemm/feed_forward.onnx")
tokens = torch.randn(4, 384)  # two dimensions: a row for each token
torch.onnx.export(feed_forward, (tokens,), path, external_data=False, verbose=False)
print(*(node.op_type for node in onnx.load(path).graph.node))

# %% gemm
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

quantizer = MatMulNBitsQuantizer(onnx.load(path))
quantizer.process()
kinds = [node.op_type for node in quantizer.model.graph().node]
print(*kinds)
assert kinds == ["Gemm", "Gelu", "Gemm"]  # as before

# %% cure
from onnxruntime.quantization.onnx_model import ONNXModel

model = ONNXModel(onnx.load(path))
model.replace_gemm_with_matmul()
quantizer = MatMulNBitsQuantizer(model.model)
quantizer.process()
kinds = [node.op_type for node in quantizer.model.graph().node]
print(*kinds)
assert kinds == ["MatMulNBits", "Add", "Gelu", "MatMulNBits", "Add"]
