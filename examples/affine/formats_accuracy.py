"""The network in every format, simulated.

Weights and activations of the running example rounded to each format, between float32 arithmetic:
accuracy with one weight scale for each layer, and with one for each channel.
Source: the same rounding as in sqnr_by_format.py, at each output of torch.fx's graph.
"""

# %% load
import torch
from torch.fx.experimental.optimization import fuse

from handbook.data import fashion_mnist
from handbook.running_example import load_running_example, predict

test_images, labels = fashion_mnist("test")
calibration_images = torch.from_numpy(fashion_mnist("train")[0][:1000])
float_logits = predict(load_running_example(), test_images)

FLOATS = {
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "float8 E4M3": torch.float8_e4m3fn,
    "float8 E5M2": torch.float8_e5m2,
}
BITS = {"int16": 16, "int8": 8, "int4": 4}


# %% round
def rounded(x, name, low, high):
    """Round to a float, or to integers with the scale and zero point of the range low to high."""
    if name in BITS:
        steps = 2 ** BITS[name] - 1
        scale = (high - low) / steps
        zero_point = torch.round(-low / scale)
        return (torch.clamp(torch.round(x / scale) + zero_point, 0, steps) - zero_point) * scale
    return x.to(FLOATS[name]).float()


def rounded_weight(weight, name, per_channel):
    """Integers and 8-bit floats have symmetric scales that reach the largest weight."""
    dims = tuple(range(1, weight.dim())) if per_channel else tuple(range(weight.dim()))
    largest = weight.abs().amax(dims, keepdim=True)
    if name in BITS:
        quant_max = 2 ** (BITS[name] - 1) - 1
        return torch.round(weight / largest * quant_max) / quant_max * largest
    if not name.startswith("float8"):
        return weight.to(FLOATS[name]).float()
    scale = largest / torch.finfo(FLOATS[name]).max
    return (weight / scale).to(FLOATS[name]).float() * scale


# %% simulate
class Simulated(torch.fx.Interpreter):
    """Runs the network, and rounds every tensor that one layer hands to the next."""

    def __init__(self, name, per_channel):
        super().__init__(fuse(load_running_example()))  # batch normalization folded
        for parameter in self.module.parameters():
            if parameter.dim() > 1:
                parameter.data = rounded_weight(parameter.data, name, per_channel)
        self.name, self.ranges, self.calibrating = name, {}, True
        self.run(calibration_images)
        self.calibrating = False

    def run_node(self, node):
        x = super().run_node(node)
        if node.op == "output" or all("relu" in str(user.target) for user in node.users):
            return x  # a convolution and its ReLU are one layer
        if self.calibrating:
            self.ranges[node] = x.min().clamp(max=0), x.max()
        return rounded(x, self.name, *self.ranges[node])


# %% results
from handbook.measure import SCORE_TOLERANCE, accuracy, agreement
from handbook.record import record, table

rows = []
for name in [*FLOATS, *BITS]:
    with torch.inference_mode():
        per_channel = predict(Simulated(name, per_channel=True).run, test_images)
        per_tensor = per_channel  # 16-bit floats have no scale
        if "float16" not in name:
            per_tensor = predict(Simulated(name, per_channel=False).run, test_images)
    row = {"weights and activations": name}
    row["accuracy %, a scale for each layer"] = accuracy(per_tensor, labels).percent
    row["a scale for each channel"] = accuracy(per_channel, labels).percent
    row["same answer as float %"] = agreement(per_channel, float_logits)
    rows.append(row)
tolerance = {column: 1 for column in rows[0] if column != "weights and activations"}
table("simulated", rows, tolerance=tolerance, because=SCORE_TOLERANCE["because"])

by_name = {row["weights and activations"]: row for row in rows}
agreement = {name: row["same answer as float %"] for name, row in by_name.items()}
sixteen = min(agreement[name] for name in agreement if "16" in name)
because = SCORE_TOLERANCE["because"]
record(int8=agreement["int8"], e4m3=agreement["float8 E4M3"], tolerance=1, because=because)
per_tensor = "accuracy %, a scale for each layer"
assert by_name["int8"][per_tensor] < 75 < 88 < by_name["float8 E4M3"][per_tensor]
assert sixteen > 99.5 > agreement["int8"] > agreement["float8 E4M3"] + 0.5
