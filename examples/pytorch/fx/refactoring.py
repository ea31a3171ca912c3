"""What FX cannot trace, with the error and the cure.

Each row is a line of a forward. It is traced and its error kept; then its cure is traced and must
compute the same.
Source: run with torch.fx of PyTorch 2.13.
"""

# %% load
import contextlib
import io
import math  # noqa: F401 (used in a line below)

import numpy as np  # noqa: F401 (used in a line below)
import torch
from torch.fx import symbolic_trace

from handbook.record import record, table

tables = {"1": torch.ones(28), "weights": torch.linspace(1, 2, 64)}
images = torch.rand(4, 1, 28, 28)


# %% wrapped
@torch.fx.wrap
def checked(x):
    assert x.dim() == 4 and isinstance(x, torch.Tensor)
    return x


@torch.fx.wrap
def printed(x):
    print(f"{x.max():.3f}")
    return x


# %% patterns
PATTERNS = {
    "if x.max() > 1: x = x / 255": "x = torch.where(x.max() > 1, x / 255, x)",
    "if bool((x < 0).any()): x = x.relu()": "x = x.relu()",
    "for i in range(x.shape[2]): x = x.roll(i, 2)": "x = x.roll(28 * 27 // 2, 2)",
    "x = torch.stack([i / i.max() for i in x])": "x = x / x.amax((1, 2, 3), keepdim=True)",
    "x = sum(a * b for a, b in zip(x, x))": "x = (x * x).sum(0)",
    "x = x.reshape(*x.shape[:2], -1)": "x = x.flatten(2)",
    "x[:, :, 0] = 0": "x = torch.cat([torch.zeros_like(x[:, :, :1]), x[:, :, 1:]], 2)",
    "x = x * tables['weights'][:x.shape[3]]": "x = x * tables['weights'].narrow(0, 0, x.shape[3])",
    "x = x + torch.zeros(x.shape[0], 1, 1, 1)": "x = x + x.new_zeros(x.shape[0], 1, 1, 1)",
    "x = x / torch.tensor(x.shape[2])": "x = x / x.shape[2]",
    "x = x / len(x)": "x = x / x.shape[0]",
    "x = x / float(x.max())": "x = x / x.max()",
    "x = x[:, :, :int(x.shape[2] / 2)]": "x = x[:, :, :x.shape[2] // 2]",
    "x = x / max(x.max(), 1)": "x = x / x.max().clamp(min=1)",
    "x = torch.from_numpy(np.roll(x.numpy(), 1, 3))": "x = x.roll(1, 3)",
    "x = x * tables[f'{x.shape[1]}']": "x = x * tables['1']",
    "print(f'{x.max():.3f}')": "x = printed(x)  # a wrapped function",
    "assert x.dim() == 4": "x = checked(x)  # a wrapped function",
    "if not isinstance(x, torch.Tensor): raise TypeError('a list')": "x = checked(x)",
    "x = torch.Tensor.flatten(x)": "x = x.flatten()",
    "x = torch.nn.ReLU()(x)": "x = torch.relu(x)  # or a submodule",
}


def forward(line):
    exec(f"def function(x):\n    {line}\n    return x", globals())
    return globals()["function"]


# %% results
rows = []
for before, after in PATTERNS.items():
    with contextlib.redirect_stdout(io.StringIO()):
        wanted = forward(before)(images.clone())
        found = symbolic_trace(forward(after))(images.clone())
    torch.testing.assert_close(found, wanted)
    try:
        symbolic_trace(forward(before))
    except Exception as error:
        text = f"{type(error).__name__}: {error}".split(". ")[0]
        rows.append(
            {"in forward": f"`{before}`", "fails with": f"`` {text} ``", "instead": f"`{after}`"}
        )
assert len(rows) == len(PATTERNS)  # all of them fail
table("patterns", rows)
record(patterns=len(rows), version=torch.__version__.split("+")[0])

# %% works
layers = {"a": torch.relu, "b": torch.sigmoid}
for line in (
    "n, c, h, w = x.shape; x = x.reshape(n, c, h * w)",
    "x = x.reshape(x.shape[0], -1)",
    "x = x / math.sqrt(x.shape[3])",
    "a, b = x.chunk(2, 3); x = a + b",
    "for name, layer in layers.items(): x = layer(x)",
    "x = sum(k * layer(x) for k, layer in zip((1, 2), layers.values()))",
    "x = x + torch.arange(x.shape[3]) + torch.ones((x.shape[0], 1, 1, 1))",
):
    assert torch.equal(symbolic_trace(forward(line))(images), forward(line)(images))
