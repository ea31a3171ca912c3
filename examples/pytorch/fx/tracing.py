"""FX symbolic tracing: the graph of the running example, before and after quantization.

What torch.fx.symbolic_trace records, as a list of nodes and as code, and what prepare_fx and
convert_fx make of the last part of it.
Source: the docstring of the torch.fx package, PyTorch 2.13.
"""

# %% load
import copy
import warnings
from collections import Counter

import torch
from torch.ao.quantization import get_default_qconfig_mapping
from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx
from torch.fx import symbolic_trace

from handbook.data import fashion_mnist
from handbook.running_example import load_running_example, predict

warnings.simplefilter("ignore")  # the deprecation notices of FX mode
torch.backends.quantized.engine = "x86"
model = load_running_example()
images = fashion_mnist("train")[0][:1000]

# %% trace
traced = symbolic_trace(model)
for node in list(traced.graph.nodes)[-6:]:
    arguments = ", ".join(str(argument) for argument in node.args)
    print(f"{node.op:14}{node.name:16}{arguments}")
assert torch.equal(traced(torch.from_numpy(images)), model(torch.from_numpy(images)))

# %% stand_in
symbolic_trace(lambda x: print("forward was called with", type(x).__name__) or x)

# %% code
print(*traced.code.strip().splitlines()[-7:], sep="\n")

# %% kinds
from handbook.record import record

kinds = Counter(node.op for node in traced.graph.nodes)
print(dict(kinds))
record(nodes=len(traced.graph.nodes), modules=kinds["call_module"])


# %% quantize
def names(graph_module):
    """The nodes from the addition on, modules by their path."""
    nodes = [n.target if n.op == "call_module" else n.name for n in graph_module.graph.nodes]
    start = next(i for i, name in enumerate(nodes) if name.startswith("add"))
    return [n.replace("activation_post_process_", "observer ") for n in nodes[start:]]


mapping = get_default_qconfig_mapping("x86")
prepared = prepare_fx(copy.deepcopy(model), mapping, (torch.from_numpy(images[:1]),))
predict(prepared, images)
columns = {"traced": names(traced), "prepared": names(prepared)}
observers = [prepared.get_submodule(f"activation_post_process_{i}") for i in range(10, 14)]
print("observers 10 to 13:", len(set(observers)), "object")
columns["converted"] = names(convert_fx(prepared))
assert len(set(observers)) == 1 and columns["converted"][-2].startswith("dequantize")

# %% figure
from handbook.figure import figure, plt

fig, ax = plt.subplots(figsize=(4.2, 5.0))
for x, (title, nodes) in enumerate(columns.items()):
    ax.text(x, 0.9, title, ha="center", weight="bold")
    for y, name in enumerate(nodes):
        shared = name in [f"observer {i}" for i in range(10, 14)]
        color = "C1" if shared else "C2" if "observer" in name else "C0"
        ax.barh(-y, 0.94, left=x - 0.47, height=0.8, color=color, alpha=0.25)
        ax.text(x, -y, name.split("_")[0], ha="center", va="center", fontsize=9)
ax.set(xlim=(-0.5, 2.5), ylim=(-12.6, 1.4))
ax.axis("off")
figure("graphs", fig)
