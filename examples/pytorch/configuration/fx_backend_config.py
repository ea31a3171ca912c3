"""FX: what a BackendConfig decides, and what it does not.

It says which operations and types a backend has, and which operations share an observer between
input and output. Given one in which a concatenation shares nothing, FX observes accordingly.
Source: torch/ao/quantization/backend_config/backend_config.py and native.py.
"""

# %% load
import warnings

import torch
from torch.ao import quantization as tq
from torch.ao.quantization.backend_config import (
    BackendPatternConfig,
    ObservationType,
    get_native_backend_config,
)
from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

from handbook.data import fashion_mnist
from handbook.record import record, table
from handbook.running_example import load_running_example, predict

for message in ("torch.ao.quantization is deprecated", "torch.quantize_per_tensor"):
    warnings.filterwarnings("ignore", message)
torch.backends.quantized.engine = "x86"
calibration_images = fashion_mnist("train")[0][:500]
example_inputs = (torch.from_numpy(calibration_images[:1]),)
mapping = tq.QConfigMapping().set_global(
    tq.QConfig(
        activation=tq.MinMaxObserver.with_args(dtype=torch.quint8),
        weight=tq.default_per_channel_weight_observer,
    )
)

# %% backend_config
shares = get_native_backend_config()
native = next(entry for entry in shares.configs if entry.pattern is torch.cat)
print(native.observation_type)

own = BackendPatternConfig(torch.cat).set_dtype_configs(native.dtype_configs)
own.set_observation_type(ObservationType.OUTPUT_USE_DIFFERENT_OBSERVER_AS_INPUT)
own_observers = get_native_backend_config().set_backend_pattern_config(own)

# %% prepare
rows, prepared = [], {}
for name, backend in {"shared (native)": shares, "own observers": own_observers}.items():
    model = load_running_example()
    prepared[name] = prepare_fx(model, mapping, example_inputs, backend_config=backend)
    predict(prepared[name], calibration_images)
    row = {"concatenation": name}
    for node in prepared[name].graph.nodes:
        if node.target in ("branch1x1.conv", "branch3x3.conv", torch.cat):
            observer = prepared[name].get_submodule(next(iter(node.users)).target)
            row[f"scale of {node.name}"] = observer.calculate_qparams()[0].item()
    rows.append(row)
scales = dict.fromkeys(list(rows[0])[1:], 0.002)
table("scales", rows, tolerance=scales, because="float32 sums of the CPU's kernels")
assert len({row["scale of branch1x1_conv"] for row in rows}) == 2

# %% convert
quantized = convert_fx(prepared["own observers"], backend_config=own_observers)
branches = quantized.branch1x1.conv.scale, quantized.branch3x3.conv.scale
seen = []
quantized.classifier.register_forward_pre_hook(lambda layer, x: seen.append(x[0].q_scale()))
with warnings.catch_warnings(record=True) as caught:
    predict(quantized, calibration_images)
print(*{str(warning.message).partition(" (Triggered")[0] for warning in caught})
print(f"branches {branches[0]:.4f} and {branches[1]:.4f}, after the concatenation {seen[0]:.4f}")
observed = rows[1]["scale of cat"]
record(lost=round(100 * (1 - seen[0] / observed)), tolerance=10, because="float32 sums")
assert seen[0] == branches[0] < observed  # the first input's scale, not the observed one
