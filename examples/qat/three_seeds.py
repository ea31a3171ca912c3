"""Training with 8, 4 and 3 bits, three seeds each: float, min-max QAT and LSQ, equally long.

The running example, batch normalization folded, trained on for 60 batches of 128 images with
fake-quantized weights and inputs. The float control sees the same batches at the same rate.
Source: Jacob et al. 2018 (arXiv:1712.05877), Esser et al. 2020 (arXiv:1902.08153).
"""

# %% load
import numpy as np
import torch

from handbook.data import fashion_mnist
from handbook.qat import Learned, MinMax, prepare, train
from handbook.running_example import predict

torch.set_num_threads(1)  # more threads sum in another order, and training ends elsewhere
test_images, test_labels = fashion_mnist("test")

# %% train
from handbook.measure import accuracy
from handbook.record import artifact

LEARNING_RATE = {8: 0.001, 4: 0.01, 3: 0.01}
QUANTIZERS = {"none (float)": None, "min-max": MinMax, "LSQ": Learned}


def percent(model):
    return accuracy(predict(model.eval(), test_images), test_labels).percent


before, after = {}, {}
for bits, rate in LEARNING_RATE.items():
    for name, quantizer in QUANTIZERS.items():
        if bits == 3 and quantizer is None:  # no bits, and the learning rate of 4 bits
            before[bits, name], after[bits, name] = before[4, name], after[4, name]
            continue
        before[bits, name] = percent(prepare(quantizer, bits))
        models = [train(prepare(quantizer, bits), seed, rate) for seed in range(3)]
        after[bits, name] = [percent(model) for model in models]
        if bits == 3 and quantizer:
            file = artifact(f"qat/three_seeds/{name}.pt")
            torch.save(models[0].state_dict(), file)

# %% results
from handbook.record import record, table

rows = []
for (bits, name), scores in after.items():
    half_width = 4.303 * np.std(scores, ddof=1) / 3**0.5  # Student's t, two degrees of freedom
    row = {"bits": bits, "quantizer": name, "not trained, %": before[bits, name]}
    row |= {"trained, mean %": round(float(np.mean(scores)), 2)}
    row |= {"lowest to highest, %": f"{min(scores):.2f} to {max(scores):.2f}"}
    rows.append(row | {"95 % interval of the mean, \N{PLUS-MINUS SIGN}": round(half_width, 2)})
spread = {key: 8 for key in rows[0] if key not in ("bits", "quantizer")}
ANOTHER_CPU = "another CPU sums in another order, training ends elsewhere, and few bits vary most"
table("results", rows, tolerance=spread, because=ANOTHER_CPU)

mean = {run: float(np.mean(scores)) for run, scores in after.items()}
gains = {f"lsq_{bits}": round(mean[bits, "LSQ"] - before[bits, "min-max"], 2) for bits in (8, 4, 3)}
lost = {f"lost_{bits}": round(mean[bits, "none (float)"] - mean[bits, "LSQ"], 2) for bits in (4, 3)}
record(**gains, **lost, tolerance=8, because=ANOTHER_CPU)
assert all(abs(mean[8, name] - mean[8, "none (float)"]) < 1.5 for name in QUANTIZERS)
assert before[8, "min-max"] > before[8, "none (float)"] - 1  # 8 bits need no training
for bits in (4, 3):
    assert before[bits, "min-max"] + 10 < mean[bits, "min-max"] < mean[bits, "LSQ"]
    assert mean[bits, "LSQ"] < mean[bits, "none (float)"]
