"""The same scheme in eager mode, FX and PT2E: scales and zero points, joined.

A tensor that two of the three observe has the same scale and zero point in both, to the bit. The
one exception is the mean, for which the X86 quantizer observes anew.
Source: what eager_qconfig.py, fx_qconfig_mapping.py and pt2e_quantizer.py leave behind.
"""

# %% load
import json

from handbook.record import artifact, record, table

MODES = {
    "eager": "pytorch/configuration/eager_qconfig/parameters.json",
    "FX": "pytorch/configuration/fx_qconfig_mapping/parameters.json",
    "PT2E": "pytorch/configuration/pt2e_quantizer/parameters.json",
}
found = {mode: json.loads(artifact(path).read_text()) for mode, path in MODES.items()}
found["eager"] = {"x": found["eager"].pop("quant")} | found["eager"]  # the stub quantizes x

# %% activations
rows, equal = [], []
tensors = list(dict.fromkeys(tensor for mode in found.values() for tensor in mode))
for tensor in [t for t in tensors if not t.endswith(" weight")]:
    row = {"tensor": tensor}
    for mode, parameters in found.items():
        (scale,), (zero_point,) = parameters.get(tensor, ([0], [0]))
        row[mode] = f"{scale:.8f}, {zero_point}" if tensor in parameters else "-"
    rows.append(row)
    observed = [parameters[tensor] for parameters in found.values() if tensor in parameters]
    if len(observed) > 1 and all(each == observed[0] for each in observed):  # floats, exactly
        equal.append(tensor)
FLOAT = "float32 sums of the CPU's kernels; the three columns agree on any CPU"
table("activations", rows, tolerance=dict.fromkeys(found, 5), because=FLOAT)

shared = [row["tensor"] for row in rows if list(row.values()).count("-") < 2]
assert [tensor for tensor in shared if tensor not in equal] == ["mean"]
assert found["FX"]["mean"] == found["FX"]["cat"]

# %% weights
rows = []
for tensor in [t for t in tensors if t.endswith(" weight")]:
    scales, zero_points = found["eager"][tensor]
    assert all(parameters[tensor] == [scales, zero_points] for parameters in found.values())
    assert set(zero_points) == {0}
    row = {"tensor": tensor, "scales": len(scales), "smallest": min(scales)}
    rows.append(row | {"largest": max(scales), "equal in all three": "yes"})
ends = dict.fromkeys(("smallest", "largest"), 1e-5)
table("weights", rows, tolerance=ends, because="batch normalization is folded in float32")
record(activations=len(equal), weight_scales=sum(row["scales"] for row in rows))
