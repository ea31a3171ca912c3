"""PyTorch in bfloat16 and float16 on a CPU.

The whole network converted with one call: agreement with float32 on 1000 test images, and time.
Source: torch.nn.Module.to; timed with handbook.measure.latency.
"""

# %% load
from functools import partial

import torch

from handbook.data import fashion_mnist
from handbook.running_example import load_running_example

images = torch.from_numpy(fashion_mnist("test")[0][:1000])  # these types are slow here

# %% convert
torch.set_num_threads(1)
models, inputs, logits = {}, {}, {}
with torch.inference_mode():
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        models[dtype] = load_running_example().to(dtype)
        inputs[dtype] = images.to(dtype)
        batches = inputs[dtype].split(100)
        logits[dtype] = torch.cat([models[dtype](batch) for batch in batches]).float().numpy()

# %% results
from handbook.measure import agreement, file_size_kib, latency, speedup
from handbook.record import TIMING, artifact, table

with torch.inference_mode():
    calls = {dtype: partial(model, inputs[dtype][:1]) for dtype, model in models.items()}
    one = latency(calls, rounds=20)
    calls = {dtype: partial(model, inputs[dtype][:100]) for dtype, model in models.items()}
    hundred = latency(calls, rounds=5, warm_up=1)
rows = []
for dtype, model in models.items():
    path = artifact("affine/half_precision/model.pt")
    torch.save(model.state_dict(), path)
    name = str(dtype).removeprefix("torch.")
    row = {"PyTorch dtype": name}
    row["same answer as float32, of 1000, %"] = agreement(logits[dtype], logits[torch.float32])
    row["size KiB"] = round(file_size_kib(path))
    row["latency of one image, float32 = 1"] = speedup(one[dtype], one[torch.float32])
    row["of 100 images"] = speedup(hundred[dtype], hundred[torch.float32])
    rows.append(row)
kernels = "another CPU has other kernels, which round at other places"
tolerance = {"same answer as float32, of 1000, %": 1, "size KiB": 1}
tolerance |= {"latency of one image, float32 = 1": TIMING, "of 100 images": TIMING}
table("results", rows, tolerance=tolerance, because=kernels)
assert all(row["same answer as float32, of 1000, %"] > 98 for row in rows)
