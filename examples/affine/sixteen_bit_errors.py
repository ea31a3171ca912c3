"""Where 16-bit and 8-bit floats go wrong, silently.

Overflow, lost integers, lost sums and lost small values, each in a line.
Source: NumPy, ml_dtypes and PyTorch.
"""

# %% overflow
import numpy as np

large = np.array([65504, 65520, 70000], np.float32)
with np.errstate(over="ignore", invalid="ignore"):  # PyTorch and the runtimes do not warn
    half = large.astype(np.float16)
    masked = half * np.float16(0)
print("float16:", half, " times 0:", masked)
assert np.isfinite(half[0]) and np.isinf(half[1:]).all() and np.isnan(masked[1:]).all()

# %% float8
import ml_dtypes

large = np.array([448, 464, 465, 1e6], np.float32)
e4m3, e5m2 = large.astype(ml_dtypes.float8_e4m3fn), large.astype(ml_dtypes.float8_e5m2)
print("E4M3:", e4m3, " E5M2:", e5m2)
assert np.isnan(e4m3[2:].astype(np.float32)).all()  # E4M3 has no infinity to become
assert np.isinf(e5m2[3:].astype(np.float32)).all()

import torch

saturated = torch.from_numpy(large).to(torch.float8_e4m3fn).float()
print("E4M3 in PyTorch:", saturated.tolist())
assert saturated.max() == 448  # the same cast, another rule

# %% integers
one = ml_dtypes.bfloat16(1)
print("256 + 1 =", ml_dtypes.bfloat16(256) + one)
total = one
for _ in range(1000):
    total = total + one
print("1 + 1 + ... =", total)
assert ml_dtypes.bfloat16(256) + one == 256 and total == 256  # 1001 terms

# %% small
small = np.array([1e-4, 1e-6, 1e-8], np.float32)
print("float16: ", small.astype(np.float16), " bfloat16:", small.astype(ml_dtypes.bfloat16))
relative = np.abs(small.astype(np.float16).astype(np.float32) / small - 1)
assert relative[0] < 2**-11 and relative[1] > 2**-7 and small.astype(np.float16)[2] == 0

# %% rounding
pattern = np.array([1 / 3], np.float32).view(np.uint32)
truncated = (pattern >> 16).astype(np.uint16)
nearest = ((pattern + 0x7FFF + ((pattern >> 16) & 1)) >> 16).astype(np.uint16)  # ties to even
for name, bits in {"truncated": truncated, "to nearest": nearest}.items():
    print(f"{name:10} {bits.view(ml_dtypes.bfloat16)[0]}")
values = np.random.default_rng(0).standard_normal(100_000).astype(np.float32)
pattern = values.view(np.uint32)
nearest = ((pattern + 0x7FFF + ((pattern >> 16) & 1)) >> 16).astype(np.uint16)
assert (nearest.view(ml_dtypes.bfloat16) == values.astype(ml_dtypes.bfloat16)).all()

# %% dtypes
from handbook.record import expected

with expected(RuntimeError, "mat1 and mat2 must have the same dtype"):
    torch.nn.Linear(4, 4)(torch.rand(1, 4).half())
with expected(NotImplementedError, "not implemented for 'Float8_e4m3fn'"):
    torch.ones(2).to(torch.float8_e4m3fn) + 1
