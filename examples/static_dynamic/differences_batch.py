"""Parameters found during inference depend on what else is in the batch.

What DynamicQuantizeLinear finds for five images, one by one and together; and how many answers
change when images share a batch.
Source: the operator DynamicQuantizeLinear of ONNX, run by ONNX Runtime.
"""

# %% load
import numpy as np
import onnx
import onnxruntime

from handbook.data import fashion_mnist
from handbook.record import artifact, record, table

test_images, labels = fashion_mnist("test")
dynamic_path = artifact("static_dynamic/differences_onnx/dynamic.onnx")
static_path = artifact("affine/quantized_models/int8.onnx")
model = onnx.load(dynamic_path)

# %% five
inputs_of_layers = [n for n in model.graph.node if n.op_type == "DynamicQuantizeLinear"]
scale_name, zero_point_name = inputs_of_layers[-1].output[1:]  # of the classifier's input
for name, kind in ((scale_name, "FLOAT"), (zero_point_name, "UINT8")):
    kind = getattr(onnx.TensorProto, kind)
    model.graph.output.append(onnx.helper.make_tensor_value_info(name, kind, []))
session = onnxruntime.InferenceSession(model.SerializeToString())
constants = onnx.load(static_path).graph.initializer
constants = {t.name: onnx.numpy_helper.to_array(t) for t in constants}
rows = []
for name, images in [(f"image {i}", test_images[i : i + 1]) for i in range(5)] + [
    ("images 0 to 4 in one batch", test_images[:5])
]:
    _, scale, zero_point = session.run(None, {"images": images})
    row = {"input": name, "dynamic scale": round(float(scale), 5)}
    row |= {"dynamic zero point": int(zero_point)}
    row["static scale"] = round(float(constants["mean_scale"]), 5)
    rows.append(row | {"static zero point": int(constants["mean_zero_point"])})
because = "what comes before is computed by kernels that differ from CPU to CPU"
table("five", rows, tolerance={"dynamic scale": 2e-3, "static scale": 5e-4}, because=because)
assert len({row["dynamic scale"] for row in rows[:5]}) == 5
assert rows[5]["dynamic scale"] >= max(row["dynamic scale"] for row in rows[:5]) - 1e-4


# %% batch
def answers(session, batch_size):
    """Classes of all test images."""
    batches = np.split(test_images, len(test_images) // batch_size)
    logits = [session.run(None, {"images": batch})[0] for batch in batches]
    return np.concatenate(logits).argmax(axis=1)


changed = {}
for name, path in (("static", static_path), ("dynamic", dynamic_path)):
    session = onnxruntime.InferenceSession(path)
    changed[name] = int((answers(session, 1) != answers(session, 1000)).sum())
    print(f"{name}: answers that a batch of 1000 changes:", changed[name])
record(changed=changed["dynamic"], tolerance=300, because="images near a tie change sides")
assert changed["dynamic"] > changed["static"] == 0
