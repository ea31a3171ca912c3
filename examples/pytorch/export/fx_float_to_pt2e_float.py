"""An FX float model to a PT2E float model: export the traced GraphModule.

Outputs and weights are compared with those of the exported original on all 10 000 test images; what
becomes of names, batch size, and batch normalization that FX has folded.
Source: run with torch.fx and torch.export of PyTorch 2.13.
"""

# %% load
import copy

import torch
from torch.fx.experimental.optimization import fuse

from handbook.data import fashion_mnist
from handbook.running_example import load_running_example, predict

torch.set_num_threads(1)
test_images, labels = fashion_mnist("test")
example_inputs = (torch.from_numpy(test_images[:2]),)  # two: one would fix the batch at 1
any_batch = ({0: torch.export.Dim("batch")},)
model = load_running_example()

# %% export
traced = torch.fx.symbolic_trace(model)
exported = torch.export.export(traced, example_inputs, dynamic_shapes=any_batch).module()
direct = torch.export.export(model, example_inputs, dynamic_shapes=any_batch).module()

# %% survives
assert list(exported.state_dict()) == list(model.state_dict())  # names of all weights
operations = [[node.target for node in m.graph.nodes] for m in (exported, direct)]
assert operations[0] == operations[1]  # the same graph as without FX
print(*(node.target for node in list(exported.graph.nodes)[-6:-1]), sep="\n")

# %% lost
for name, m in {"through FX": exported, "directly": direct}.items():
    node = next(n for n in m.graph.nodes if n.target is torch.ops.aten.conv2d.default)
    stack = node.meta.get("nn_module_stack", {})
    print(f"{name}: {[path for path, _ in stack.values()]}")

# %% results
from handbook.measure import agreement
from handbook.record import record, table

folded = fuse(copy.deepcopy(model))  # FX's own folding of batch normalization
folded = torch.export.export(folded, example_inputs, dynamic_shapes=any_batch).module()
expected_logits, rows = predict(model, test_images), []
for name, m in {"traced": exported, "traced and folded": folded, "not traced": direct}.items():
    logits = predict(m, test_images)
    row = {"exported model": name, "same answer %": agreement(logits, expected_logits)}
    row["largest difference"] = round(float(abs(logits - expected_logits).max()), 7)
    rows.append(row)
assert rows[0]["largest difference"] < 1e-4 and rows[0]["same answer %"] > 99.9
wide = {"same answer %": 0.1, "largest difference": 1e-4}
table("results", rows, tolerance=wide, because="float kernels sum in another order")
record(weights=len(exported.state_dict()))

# %% conversions
from handbook.conversions import conversions, parity

row = parity(predict(exported, test_images), expected_logits, labels)
edge = ("PyTorch FX, float", "PyTorch PT2E, float", "torch.export.export")
conversions({edge: row}, because="float kernels sum in another order")
