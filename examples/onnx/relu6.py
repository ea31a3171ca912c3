"""ReLU6 in a quantized ONNX file: when its Clip disappears, and when it blocks the integer kernels.

The running example with ReLU6 in place of each ReLU. The quantizer drops the Clip, unless
activations are symmetric; in a file quantized elsewhere, the quantized range decides.
Source: QDQRemovableActivation of onnxruntime.quantization; ClipQuantFusion of ONNX Runtime.
"""

# %% load
from collections import Counter
from functools import partial

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_static

from handbook.data import fashion_mnist
from handbook.onnx_session import CalibrationImages, predict_onnx
from handbook.record import artifact

onnxruntime.set_default_logger_severity(3)  # a notice that an optimized graph fits this CPU only
test_images, labels = fashion_mnist("test")
paths = {"float32": artifact("onnx/relu6/relu6.onnx")}

# %% clip
bounds = [numpy_helper.from_array(np.float32(x), name) for name, x in {"low": 0, "six": 6}.items()]
model = onnx.load(artifact("onnx/ptq_static/prepared.onnx"))
model.graph.initializer.extend(bounds)
for node in model.graph.node:
    if node.op_type == "Relu":
        node.op_type = "Clip"  # as torch.nn.ReLU6 is exported
        node.input.extend(["low", "six"])
onnx.save(model, paths["float32"])

# %% quantize
for name, extra_options in {
    "quantize_static, uint8": {},
    "quantize_static, uint8, ActivationSymmetric": {"ActivationSymmetric": True},
}.items():
    paths[name] = artifact(f"onnx/relu6/{len(paths)}.onnx")
    types = {"activation_type": QuantType.QUInt8, "per_channel": True}
    quantize_static(
        paths["float32"], paths[name], CalibrationImages(), extra_options=extra_options, **types
    )

# %% elsewhere
# PyTorch's x86 engine has 7-bit activations: up to 127, and 255 stands for twice the range.
for name, widen in {"Clip, then Q, 8 bits": 1, "Clip, then Q, 7 bits": 255 / 127}.items():
    model = onnx.load(paths["quantize_static, uint8"])
    model.graph.initializer.extend(bounds)
    relus = {f"relu{n}_scale" for n in ("", *(f"_{i}" for i in range(1, 9)))}
    for tensor in model.graph.initializer:
        if tensor.name in relus:
            scale = numpy_helper.to_array(tensor) * np.float32(widen)
            tensor.CopyFrom(numpy_helper.from_array(scale, tensor.name))
    for node in list(model.graph.node):
        if node.op_type == "QuantizeLinear" and node.input[1] in relus:
            convolution = node.input[0]
            node.input[0] = f"{convolution}_clipped"
            clip = helper.make_node("Clip", [convolution, "low", "six"], [node.input[0]])
            model.graph.node.insert(list(model.graph.node).index(node), clip)
    paths[name] = artifact(f"onnx/relu6/{len(paths)}.onnx")
    onnx.save(model, paths[name])

# %% results
from handbook.measure import SCORE_TOLERANCE, latency, score, speedup
from handbook.record import TIMING, table

sessions, logits, rows = {}, {}, []
for name, path in paths.items():
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.optimized_model_filepath = str(artifact("onnx/relu6/optimized.onnx"))
    sessions[name] = session = onnxruntime.InferenceSession(path, options)
    nodes = onnx.load(options.optimized_model_filepath).graph.node
    count = Counter(node.op_type.removeprefix("Fused") for node in nodes)
    row = {"file": name, "QLinearConv": count["QLinearConv"], "Conv in float": count["Conv"]}
    row |= {"Clip alone": count["Clip"]}
    logits[name] = predict_onnx(path, test_images, x64quantprecision="1")
    rows.append(row | score(logits[name], labels, logits["float32"]))
calls = {name: partial(s.run, None, {"images": test_images[:8]}) for name, s in sessions.items()}
times = latency(calls)
for row in rows:
    row["times as fast as float"] = speedup(times["float32"], times[row["file"]])
tolerance = SCORE_TOLERANCE["tolerance"] | {"times as fast as float": TIMING}
table("results", rows, tolerance=tolerance, because=SCORE_TOLERANCE["because"])
assert [row["QLinearConv"] for row in rows] == [0, 10, 10, 10, 0]
assert [row["Clip alone"] for row in rows] == [0, 0, 9, 0, 0]
