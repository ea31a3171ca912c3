"""Every value that an ONNX model computes, for random inputs: for shapes, and for comparisons."""

import numpy as np
import onnx
import onnxruntime


def onnx_values(model: onnx.ModelProto, batch: int = 2) -> tuple[dict, dict]:
    """Return random inputs (standard normal), and all values that ONNX Runtime computes from them.

    Both map names to arrays; the values include inputs and constants. The batch is the first
    dimension of each input: the model's, or `batch` if it leaves that open. Raises ValueError for
    an input that is not float32, or has another size open. Nothing is optimized or fused.
    """
    every, random, feeds = onnx.ModelProto(), np.random.default_rng(0), {}
    every.CopyFrom(model)
    computed = [name for node in model.graph.node for name in node.output if name]
    every.graph.ClearField("output")
    every.graph.output.extend(onnx.ValueInfoProto(name=name) for name in computed)
    values = {x.name: onnx.numpy_helper.to_array(x) for x in model.graph.initializer}
    for entry in model.graph.input:
        if entry.name not in values:
            sizes = [size.dim_value for size in entry.type.tensor_type.shape.dim]
            if (
                entry.type.tensor_type.elem_type != onnx.TensorProto.FLOAT
                or not sizes
                or 0 in sizes[1:]
            ):
                raise ValueError(f"input {entry.name!r} is not float32 of a fixed size: {sizes}")
            shape = (sizes[0] or batch, *sizes[1:])
            feeds[entry.name] = random.standard_normal(shape, dtype=np.float32)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3  # errors; older models draw warnings
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(every.SerializeToString(), options)
    return feeds, values | feeds | dict(zip(computed, session.run(computed, feeds), strict=True))
