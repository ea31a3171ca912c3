"""LSTMs without calibration data: dynamic quantization.

One that reads images row by row, trained here for two passes; and three of other widths, with
random weights, for their latency alone.
Source: torch.ao.quantization.quantize_dynamic.
"""

# %% load
import warnings
from functools import partial

import torch
from torch import nn

from handbook.data import fashion_mnist
from handbook.record import artifact

warnings.simplefilter("ignore")  # deprecation notices, which another page explains
torch.backends.quantized.engine = "x86"
torch.manual_seed(0)
torch.set_num_threads(1)
images, classes = map(torch.from_numpy, fashion_mnist("train"))
test_images, labels = fashion_mnist("test")


# %% lstm
class RowReader(nn.Module):
    """Logits from an image's 28 rows, read one after the other."""

    def __init__(self, hidden=256):
        super().__init__()
        self.lstm = nn.LSTM(28, hidden, batch_first=True)
        self.classifier = nn.Linear(hidden, 10)

    def forward(self, x):
        outputs, _ = self.lstm(x.squeeze(1))
        return self.classifier(outputs[:, -1])


lstm = RowReader()
optimizer = torch.optim.Adam(lstm.parameters(), lr=2e-3)
for _ in range(2):
    for batch in torch.randperm(len(images)).split(100):
        optimizer.zero_grad()
        nn.functional.cross_entropy(lstm(images[batch]), classes[batch]).backward()
        nn.utils.clip_grad_norm_(lstm.parameters(), 1)
        optimizer.step()
lstm.eval()

# %% dynamic
from torch.ao.quantization import quantize_dynamic

lstm_int8 = quantize_dynamic(lstm, {nn.LSTM, nn.Linear})

# %% results
from handbook.measure import SCORE_TOLERANCE, file_size_kib, latency, score, speedup
from handbook.record import TIMING, table
from handbook.running_example import predict

image = torch.from_numpy(test_images[:1])
models = {"float32": lstm, "dynamic": lstm_int8}
with torch.inference_mode():
    times = latency({name: partial(m, image) for name, m in models.items()})
logits = {name: predict(m, test_images) for name, m in models.items()}
rows = []
for name, m in models.items():
    path = artifact(f"static_dynamic/choosing_lstm/{name}.pt")
    torch.save(m.state_dict(), path)
    row = {"LSTM": name} | score(logits[name], labels, logits["float32"])
    row["size KiB"] = round(file_size_kib(path))
    rows.append(row | {"times as fast": speedup(times["float32"], times[name])})
tolerance = dict.fromkeys(SCORE_TOLERANCE["tolerance"], 4)
tolerance |= {"size KiB": 5, "times as fast": TIMING}
table("lstm", rows, tolerance=tolerance, because="training ends elsewhere on another CPU")
assert abs(rows[1]["accuracy %"] - rows[0]["accuracy %"]) < 1
assert rows[1]["size KiB"] < rows[0]["size KiB"] / 3

# %% wide
rows = []
for width in (64, 256, 1024):
    layer = nn.Sequential(nn.LSTM(width, width, batch_first=True)).eval()
    x, layer_int8 = torch.randn(1, 28, width), quantize_dynamic(layer, {nn.LSTM})
    with torch.inference_mode():
        calls = {"float32": partial(layer, x), "dynamic": partial(layer_int8, x)}
        times = latency(calls, rounds=10)
    row = {"units": width, "float32, ms": round(times["float32"].median_ms, 1)}
    row["dynamic, ms"] = round(times["dynamic"].median_ms, 1)
    rows.append(row | {"times as fast": speedup(times["float32"], times["dynamic"])})
table("wide", rows, tolerance={column: TIMING for column in list(rows[0])[1:]})
