"""The layers of a quantized ONNX model, with the activations that real images give."""

from typing import NamedTuple

import numpy as np
import onnx
import onnxruntime


class Layer(NamedTuple):
    """A convolution or a linear layer: its integers, their parameters, and the runtime's output.

    `x` is uint8 (N, C, H, W) or (N, features), `w` int8 (outputs, ...) with one scale for each
    output and zero points of 0, `options` what `handbook.reference.conv_integer` takes.
    """

    name: str
    x: np.ndarray
    x_scale: np.float32
    x_zero_point: int
    w: np.ndarray
    w_scale: np.ndarray
    bias: np.ndarray  # float32, as it was before quantization
    y_scale: np.float32
    y_zero_point: int
    options: dict
    output: np.ndarray


def integer_layers(path, float_path, images, **config) -> list[Layer]:
    """Return the QLinearConv and QGemm nodes of `path`, a model that ONNX Runtime has fused.

    `float_path` is the model before quantization, which has the biases. `config` has entries of the
    session's configuration, without "session.": `x64quantprecision="1"`.
    """
    model = onnx.load(path)
    nodes = [node for node in model.graph.node if node.op_type in ("QLinearConv", "QGemm")]
    made = [name for node in model.graph.node for name in node.output]
    graph_input = model.graph.input[0].name
    for name in sorted(set(made) - {output.name for output in model.graph.output}):
        model.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    for key, value in config.items():
        options.add_session_config_entry(f"session.{key}", value)
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    tensors = dict(zip(made, session.run(made, {graph_input: images}), strict=True))
    for graph in (onnx.load(float_path).graph, model.graph):
        tensors |= {each.name: onnx.numpy_helper.to_array(each) for each in graph.initializer}

    layers = []
    for node in nodes:
        (bias,) = (name for name in node.input if "bias" in name)
        others = [tensors[name] for name in node.input if name != bias]
        x, x_scale, x_zero_point, w, w_scale, w_zero_point, y_scale, y_zero_point = others
        assert not w_zero_point.any()
        given = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
        options = {key: given[key] for key in ("strides", "pads", "group") if key in given}
        layers.append(
            Layer(
                # The name of a convolution's bias is that of its weight, and a suffix.
                bias.partition(".weight")[0].partition(".bias")[0],
                *(x, x_scale, int(x_zero_point)),
                *(w, w_scale, tensors[bias.removesuffix("_quantized")]),
                *(y_scale, int(y_zero_point), options, tensors[node.output[0]]),
            )
        )
    return layers
