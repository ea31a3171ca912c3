"""What is inside a quantized TFLite file: operators, types, scales, and the delegate.

The interpreter's details of the int8 file of ptq.py, tensor by tensor; and one list for all files
of which operators compute in integers.
Source: ai_edge_litert.interpreter.Interpreter; the schema of ai_edge_litert.
"""

# %% load
from ai_edge_litert.interpreter import Interpreter

from handbook.record import artifact, record, table
from handbook.tflite import quiet

path = artifact("tensorflow/ptq/int8.tflite")
with quiet():  # XNNPACK announces itself
    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()

# %% inputs
(details,) = interpreter.get_input_details()
print(details["name"], details["shape_signature"], details["dtype"].__name__)
scale, zero_point = details["quantization"]
print("scale", scale, "zero point", zero_point)  # 0: the input is not quantized
assert (scale, zero_point) == (0, 0)

# %% tensors
tensors = {tensor["index"]: tensor for tensor in interpreter.get_tensor_details()}
rows = []
for tensor in list(tensors.values()):
    parameters = tensor["quantization_parameters"]
    if len(parameters["scales"]) == 0 or "separable1.pointwise" not in tensor["name"]:
        continue
    row = {"type": tensor["dtype"].__name__, "shape": "x".join(map(str, tensor["shape"]))}
    row |= {"scales": len(parameters["scales"]), "axis": parameters["quantized_dimension"]}
    row["smallest scale"] = float(f"{parameters['scales'].min():.3g}")
    rows.append(row | {"zero points": " ".join(map(str, sorted(set(parameters["zero_points"]))))})
wide = {"smallest scale": 0.01}
table("tensors", rows, tolerance=wide, because="another CPU calibrates to other last bits")
assert [row["type"] for row in rows] == ["int32", "int8", "int8"]
assert [row["scales"] for row in rows] == [32, 32, 1]

# %% operators
from handbook.tflite_operators import tflite_operators

for operator in tflite_operators(path, conversions=True)[:6]:
    weights = f"weights {operator.weights}" if operator.weights else ""
    print(f"{operator.name:18} {operator.input:8} -> {operator.output:8} {weights}")

# %% stayed_float
FILES = ["float32", "float16", "dynamic_range", "int8", "int8_also_in_and_out", "16x8"]
rows = []
for name in FILES:
    operators = tflite_operators(artifact(f"tensorflow/ptq/{name}.tflite"))
    floats = [operator.name for operator in operators if not operator.integer]
    counts = {kind: floats.count(kind) for kind in dict.fromkeys(floats)}
    stayed = ", ".join(f"{count} {kind}" for kind, count in counts.items()) or "none"
    rows.append({"file": name, "operators that stayed float": stayed})
table("stayed_float", rows)
assert [row["operators that stayed float"] for row in rows[3:]] == ["none"] * 3

# %% delegate
with quiet():
    delegated = {}
    for name in FILES:
        interpreter = Interpreter(str(artifact(f"tensorflow/ptq/{name}.tflite")))
        interpreter.allocate_tensors()
        plan = [node["op_name"] for node in interpreter._get_ops_details()]
        delegated[name] = "DELEGATE" in plan
for name, taken in delegated.items():
    print(f"{name:22} {'XNNPACK' if taken else 'no delegate'}")
assert delegated["int8"] and not delegated["16x8"]

# %% intermediate
with quiet():
    interpreter = Interpreter(str(path), experimental_preserve_all_tensors=True)
    interpreter.allocate_tensors()
    interpreter.invoke()  # on zeros; set_tensor an input of your own
    (mean,) = [t for t in tensors.values() if "Mean" in t["name"] and t["dtype"].__name__ == "int8"]
    values = interpreter.get_tensor(mean["index"])
print(values.dtype, values.shape)
record(mean_features=int(values.shape[1]))
