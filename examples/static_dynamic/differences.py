"""Static, dynamic, weight-only: what is known before inference, and what is computed during it.

The classifier of the running example in NumPy, three times: with a range from calibration images,
with a range of its own for each input, and with integers for the weights alone.
Source: the operators QuantizeLinear, DynamicQuantizeLinear and MatMulInteger of ONNX.
"""

# %% load
import numpy as np
import torch

from handbook.data import fashion_mnist
from handbook.running_example import load_running_example

model = load_running_example()
seen = []
model.classifier.register_forward_pre_hook(lambda layer, inputs: seen.append(inputs[0]))
with torch.inference_mode():
    model(torch.from_numpy(fashion_mnist("train")[0][:500]))
    model(torch.from_numpy(fashion_mnist("test")[0][:500]))
calibration, inputs = (x.numpy() for x in seen)  # (500, 96) each
weight = model.classifier.weight.detach().numpy()  # (10, 96)
bias = model.classifier.bias.detach().numpy()


# %% parameters
def parameters(low, high):
    """Scale and zero point for uint8, from a range widened to hold 0."""
    low, high = min(low, 0), max(high, 0)
    scale = (high - low) / 255
    return scale, round(-low / scale)


def quantize(x, scale, zero_point):
    return np.clip(np.rint(x / scale) + zero_point, 0, 255).astype(np.int32)


# %% before
w_scale = np.abs(weight).max(axis=1) / 127  # of each output channel
q_weight = np.rint(weight / w_scale[:, np.newaxis]).astype(np.int32)
static_scale, static_zero_point = parameters(calibration.min(), calibration.max())


# %% during
def static(x):
    q = quantize(x, static_scale, static_zero_point)
    return static_scale * w_scale * (q_weight @ (q - static_zero_point)) + bias


def dynamic(x):
    scale, zero_point = parameters(x.min(), x.max())  # one more pass over x, for each input
    q = quantize(x, scale, zero_point)
    return scale * w_scale * (q_weight @ (q - zero_point)) + bias


def weight_only(x):
    return (q_weight * w_scale[:, np.newaxis]) @ x + bias  # float weights again, float product


# %% five
from handbook.record import record, table

rows = []
for i, x in enumerate(inputs[:5]):
    row = {"test image": i, "largest value": round(float(x.max()), 2)}
    row["dynamic scale"] = round(float(parameters(x.min(), x.max())[0]), 5)
    row["static scale"] = round(float(static_scale), 5)
    q = quantize(x, static_scale, static_zero_point)
    rows.append(row | {"largest integer, static": int(q.max())})
digits = {"largest value": 0.011, "dynamic scale": 2e-5, "static scale": 2e-5}
digits["largest integer, static"] = 2
because = "another CPU's kernels sum in another order"
table("five", rows, tolerance=digits, because=because)
assert len({row["dynamic scale"] for row in rows}) == 5
assert all(row["dynamic scale"] < row["static scale"] for row in rows)

# %% rounding
exact = inputs @ weight.T + bias
rows = []
for way in (static, dynamic, weight_only):
    error = np.array([way(x) for x in inputs]) - exact
    rows.append({"way": way.__name__, "RMS error of the logits": round(float(error.std()), 5)})
table("errors", rows, tolerance={"RMS error of the logits": 2e-4}, because=because)
static_error, dynamic_error, weight_error = (row["RMS error of the logits"] for row in rows)
assert weight_error < dynamic_error < static_error
record(inputs=inputs.shape[1], classes=len(bias), batch=len(inputs))

# %% clipped
bright = 4 * inputs[0]  # an input unlike any calibration image
clipped = int((quantize(bright, static_scale, static_zero_point) == 255).sum())
exact = weight @ bright + bias
errors = [round(float(np.abs(way(bright) - exact).max()), 2) for way in (static, dynamic)]
print("values clipped by the static range:", clipped)
print("largest error: static", errors[0], " dynamic", errors[1])
record(clipped=clipped, tolerance=1, because=because)
record(static_error=errors[0], dynamic_error=errors[1], tolerance=1, because=because)
assert clipped >= 1 and errors[1] < errors[0]
