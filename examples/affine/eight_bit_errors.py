"""8-bit arithmetic that goes wrong.

Sums in a type that is too narrow, 32 bits that are not enough, and a zero point that has no
negative. NumPy, like a runtime's kernel, wraps around without a word.
Source: the two's complement integers of NumPy, as C has them.
"""

# %% narrow
import numpy as np

q_a = np.full((1, 96), 90, np.int8)
q_b = np.full((96, 1), 101, np.int8)
print("int8: ", (q_a @ q_b).item())
print("int32:", (q_a.astype(np.int32) @ q_b.astype(np.int32)).item())
assert (q_a @ q_b).item() != 96 * 90 * 101

# %% overflow
from handbook.record import record

signed = 2**31 // (128 * 127)  # int8 activations, weights in [-127, 127]
shifted = 2**31 // (255 * 127)  # the same less a zero point at the end of the range
record(signed_terms=signed, shifted_terms=shifted)
row = np.full(shifted + 1, 255, np.int32)
column = np.full(shifted + 1, 127, np.int32)
print(row[:-1] @ column[:-1], row @ column)
assert row[:-1] @ column[:-1] > 0 > row @ column  # one term more, and the sum is negative

# %% negative
zero_point = np.int8(-128)
with np.errstate(over="ignore"):
    print(-zero_point, -int(zero_point))
    assert -zero_point == -128 and -int(zero_point) == 128
