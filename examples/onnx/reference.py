"""The same int8 file in ONNX's own reference implementation.

onnx.reference computes each node as the specification says, in NumPy, and shares no code with ONNX
Runtime: float products between Q and DQ there, integer kernels here. How many outputs agree to the
last bit, and by how many steps the others differ.
Source: onnx.reference.ReferenceEvaluator.
"""

# %% load
import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator

from handbook.data import fashion_mnist
from handbook.measure import agreement, lsb_difference
from handbook.onnx_session import predict_onnx
from handbook.record import artifact, record

path = artifact("onnx/ptq_static/int8.onnx")  # QDQ: every operator is one of ONNX
images = fashion_mnist("test")[0][:500]

# %% run
reference = ReferenceEvaluator(str(path))
by_reference = np.concatenate(
    [reference.run(None, {"images": batch})[0] for batch in np.split(images, 5)]
)
by_runtime = predict_onnx(path, images, x64quantprecision="1")

# %% compare
constants = {t.name: onnx.numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer}
scale = constants["logits_scale"]  # of the logits: one step
steps = np.rint((by_runtime - by_reference) / scale).astype(int)
identical = round(100 * float((steps == 0).mean()), 2)
largest = lsb_difference(by_reference, by_runtime, scale)
print(f"identical: {identical} % of {steps.size} logits, largest difference: {largest} LSB")
print(f"same answer: {agreement(by_reference, by_runtime)} % of {len(images)} images")
assert identical > 98 and largest <= 1 and agreement(by_reference, by_runtime) > 99

# %% results
record(outputs=steps.size, images=len(images))
record(identical=identical, tolerance=1, because="float32 sums on the edge of two steps differ")
record(largest=largest)

# %% contrib
from handbook.record import expected

qoperator_path = artifact("onnx/ptq_static/QOperator.onnx")
with expected(NotImplementedError, "from domain 'com.microsoft' is unknown"):
    ReferenceEvaluator(str(qoperator_path))
