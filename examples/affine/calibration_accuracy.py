"""Ranges of activations: what each method makes of the network.

Accuracy of the running example with the inputs of its layers quantized to 8 and to 4 bits, with
ranges from clean calibration images, and from the same with one outlier among them.
Source: our own measurement; compare Wu et al. 2020 (arXiv:2004.09602).
"""

# %% load
import json

import torch
from torch.fx.experimental.optimization import fuse

from handbook.data import fashion_mnist
from handbook.record import artifact
from handbook.running_example import load_running_example

model = fuse(load_running_example())
images, labels = fashion_mnist("test")
ranges = json.loads(artifact("affine/calibration_methods/ranges.json").read_text())


# %% quantize
def predict_quantized(layer_ranges, bits):
    """Logits with the inputs of layers quantized, {name: (low, high)}; weights stay float."""
    layer_ranges = {model.get_submodule(name): r for name, r in layer_ranges.items()}

    def quantize_input(layer, inputs):
        low, high = layer_ranges[layer]
        scale = (high - low) / (2**bits - 1)
        zero_point = round(-low / scale)
        q = (inputs[0] / scale).round_().add_(zero_point).clamp_(0, 2**bits - 1)
        return q.sub_(zero_point).mul_(scale)

    hooks = [layer.register_forward_pre_hook(quantize_input) for layer in layer_ranges]
    with torch.inference_mode():  # 100 at a time are the fastest here
        logits = torch.cat([model(batch) for batch in torch.from_numpy(images).split(100)])
    for hook in hooks:
        hook.remove()
    return logits.numpy()


# %% results
from handbook.measure import accuracy, paired
from handbook.record import record, table

methods = [key.split("/")[2] for key in ranges if key.startswith("clean/8/")]
tolerance = {"8 bits, accuracy %": 1, "8 bits, 95 % interval": 1}
tolerance |= {"4 bits, accuracy %": 3, "4 bits, 95 % interval": 3}
because = "another CPU's kernels sum in another order, which can move a threshold by a candidate"
unquantized = predict_quantized({}, 8)
percent, logits, comparisons = {}, {}, []
for calibration in ("clean", "one outlier"):
    rows = []
    for method in methods:
        if "outlier first" in method and calibration == "clean":
            continue
        row = {"method": method}
        for bits in (8, 4):
            layer_ranges = ranges[f"{calibration}/{bits}/{method}"].copy()
            del layer_ranges["stem.conv"]  # the image's range is known: nothing to estimate
            logits[calibration, method, bits] = predict_quantized(layer_ranges, bits)
            result = accuracy(logits[calibration, method, bits], labels)
            row[f"{bits} bits, accuracy %"] = result.percent
            row[f"{bits} bits, 95 % interval"] = result.interval
            percent[calibration, method, bits] = result
        rows.append(row)
        if calibration == "clean":  # the same images: pairs show more than two intervals do
            against = paired(logits["clean", method, 8], unquantized, labels)
            comparisons.append({"8 bits, clean images": method} | against._asdict())
    table(calibration.replace(" ", "_"), rows, tolerance=tolerance, because=because)
table(
    "paired",
    comparisons,
    tolerance={"lost": 40, "gained": 40, "p": 1},
    because="images near a tie change sides, and p depends on the difference",
)
p = {row["8 bits, clean images"]: row["p"] for row in comparisons}
minmax, entropy, mse = methods[0], "entropy", "mean squared error"
assert percent["clean", mse, 4].low > percent["clean", minmax, 4].high + 20
assert percent["one outlier", entropy, 8].low > percent["one outlier", mse, 8].high + 20
assert min(percent["clean", method, 8].percent for method in methods if "first" not in method) > 88
assert p[entropy] < 0.01 and min(p[minmax], p["moving average"], p[mse]) > 0.05
assert percent["clean", entropy, 4].low > percent["clean", "percentile 99.9", 4].high + 5
leaders = paired(logits["clean", entropy, 4], logits["clean", mse, 4], labels)
record(leaders_p=leaders.p, tolerance=1, because="images near a tie change sides")

# %% image
image = {key: {"stem.conv": ranges[f"clean/4/{key}"]["stem.conv"]} for key in (minmax, entropy)}
known, clipped = (accuracy(predict_quantized(r, 4), labels).percent for r in image.values())
record(
    float_accuracy=accuracy(unquantized, labels).percent,
    image_accuracy=known,
    entropy_image_accuracy=clipped,
    entropy_image_threshold=round(image[entropy]["stem.conv"][1], 2),
    tolerance=1,
    because="another CPU's kernels sum in another order",
)
assert clipped < known - 3
