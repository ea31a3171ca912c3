"""The weights before and after training with 3 bits.

All weights of the inner layers, divided by their step: LSQ of the first seed of three_seeds.py.
Source: oscillating weights, Nagel et al. 2022 (arXiv:2203.11086).
"""

# %% load
import numpy as np
import torch

from handbook.qat import Learned, QuantizedLayer, prepare
from handbook.record import artifact, record

before, after = prepare(Learned, 3), prepare(Learned, 3)
after.load_state_dict(torch.load(artifact("qat/three_seeds/LSQ.pt")))


# %% ratios
def ratios(model):
    """Weight over step, of all layers with 3 bits."""
    layers = [m for m in model.modules() if isinstance(m, QuantizedLayer)]
    quantizers = [(m.layer.weight, m.of_weight) for m in layers if m.of_weight.limits == (-4, 3)]
    with torch.no_grad():
        return np.concatenate([(w / q.step.view(q.shape)).numpy().ravel() for w, q in quantizers])


old, new = ratios(before), ratios(after)

# %% figure
from handbook.figure import figure, plt

bins = np.arange(-5, 5.01, 0.1)
fig, ax = plt.subplots()
ax.hist(old, bins, color="C0", alpha=0.6, label="before")
ax.hist(new, bins, color="C1", histtype="step", linewidth=1.5, label="after")
ax.set(xlabel="weight / step", ylabel="weights", xticks=range(-4, 4))
ax.legend()
figure("weights", fig)


# %% edges
def near_edge(ratio):
    """The share of the weights, in percent, within 0.1 steps of where rounding changes."""
    inside = ratio[(ratio > -4) & (ratio < 3)]
    return round(100 * float((np.abs(inside - np.floor(inside) - 0.5) < 0.1).mean()), 1)


moved = 100 * float((np.clip(np.rint(old), -4, 3) != np.clip(np.rint(new), -4, 3)).mean())
edges = {"edge_before": near_edge(old), "edge_after": near_edge(new)}
clipped = {"clipped_before": round(100 * float(((old < -4) | (old > 3)).mean()), 1)}
clipped["clipped_after"] = round(100 * float(((new < -4) | (new > 3)).mean()), 1)
print(len(old), moved, edges, clipped)
ANOTHER_CPU = "training on another CPU ends elsewhere"
record(weights=len(old))
record(moved=round(moved, 1), **edges, **clipped, tolerance=10, because=ANOTHER_CPU)
assert 1 < moved < 50 and abs(edges["edge_after"] - edges["edge_before"]) < 5
