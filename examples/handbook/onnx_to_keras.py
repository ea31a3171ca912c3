"""ONNX to Keras: the operators of convolutional networks as native, trainable layers, in NHWC.

A tensor of four dimensions is (N, C, H, W) in ONNX and (N, H, W, C) in Keras; any other has the
same order in both. ONNX Runtime runs the model once: its values tell each shape, hold each
constant, and are what the finished Keras model is compared with.
"""

from itertools import pairwise

import numpy as np
import onnx

from handbook.keras_twin import keras as keras3
from handbook.onnx_layers import TO_KERAS, TO_ONNX, Layers, nhwc, refusal, tidy
from handbook.onnx_values import onnx_values

WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul", "BatchNormalization", "PRelu")
# Inputs after the first are numbers here, also where they are computed from an activation's shape.
NUMBERS = ("Reshape", "Squeeze", "Unsqueeze", "Resize", "Pad", "Slice", "Split", "Clip")
NUMBERS += ("ReduceMean", "CastLike", "Dropout")
ONE_LAYER = {  # no weights, no attributes
    "Relu": ("ReLU", {}),
    "Sigmoid": ("Activation", {"activation": "sigmoid"}),
    "Tanh": ("Activation", {"activation": "tanh"}),
    "GlobalAveragePool": ("GlobalAveragePooling2D", {"keepdims": True}),
    "GlobalMaxPool": ("GlobalMaxPooling2D", {"keepdims": True}),
}
JOINS = {"Add": "Add", "Sub": "Subtract", "Mul": "Multiply"}


def onnx_to_keras(source, keras=keras3, tolerance=1e-4):
    """Return a Keras model of an ONNX model, with its weights, and layers named as its nodes.

    `source` is a path or a ModelProto: float32, with fixed sizes except the batch. `keras` may be
    tf_keras, for tfmot. Raises ValueError, with operator and name of the node, for what it does not
    know, and where the result for random inputs is further than `tolerance` from ONNX Runtime's.
    """
    if keras.backend.image_data_format() != "channels_last":
        raise ValueError("keras.backend.set_image_data_format('channels_last') comes first")
    model = source if isinstance(source, onnx.ModelProto) else onnx.load(source)
    feeds, values = onnx_values(model)
    inputs = {name: keras.Input(nhwc(x).shape[1:], name=tidy(name)) for name, x in feeds.items()}
    tensors = Converter(model, keras, values).convert(inputs)

    def part(names):
        return keras.Model(one_or_all(inputs.values()), one_or_all(tensors[x] for x in names))

    made = [name for name in values if name in tensors and name not in feeds]  # in their order
    results = part(made)(one_or_all(map(nhwc, feeds.values())))
    pairs = zip(made, results if len(made) > 1 else [results], strict=True)
    far = {name: np.abs(x.numpy() - nhwc(values[name])).max() for name, x in pairs}
    outputs = [output.name for output in model.graph.output]
    if not all(far[name] <= tolerance for name in outputs):
        name = next(name for name in made if not far[name] <= tolerance)
        node = next(node for node in model.graph.node if name in node.output)
        raise refusal(node, f"{far[name]:.2g} from ONNX Runtime, more than {tolerance:g}")
    return part(outputs)


def one_or_all(values):
    values = list(values)
    return values if len(values) > 1 else values[0]


class Converter(Layers):
    """Makes Keras tensors of the values of an ONNX graph, with a method for each operator.

    A method gets the inputs of `node`: Keras tensors, arrays where they are constant, None where
    they are left out. `shape` and `out` are the ONNX shapes of its first input and output.
    """

    def __init__(self, model, keras, values):
        super().__init__(keras)
        self.graph, self.values = model.graph, values
        self.made_by = {name: node.op_type for node in model.graph.node for name in node.output}

    def convert(self, inputs):
        """Return a Keras tensor for each of `inputs`, and for each value that the outputs need."""
        tensors, varying = dict(inputs), set(inputs)
        needed = {output.name for output in self.graph.output}
        reads = [n.input[:1] if n.op_type in NUMBERS else n.input for n in self.graph.node]
        steps = list(zip(self.graph.node, map(set, reads), strict=True))
        for node, read in steps:  # what depends on no input is constant
            varying |= set(node.output) if varying & read else set()
        for node, read in reversed(steps):
            needed |= read if needed & set(node.output) else set()
        for node, _ in steps:
            if needed & varying & set(node.output):
                tensors |= zip(node.output, self.convert_node(node, tensors), strict=False)
                if needed & set(node.output) - tensors.keys():
                    raise refusal(node, "its further outputs are not known")
        return tensors

    def convert_node(self, node, tensors):
        values = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        values = {k: v.decode() if isinstance(v, bytes) else v for k, v in values.items()}
        self.node, self.get = node, lambda name, default=None: values.get(name, default)
        self.shape, self.out = (self.values[x[0]].shape for x in (node.input, node.output))
        if node.domain or not (node.op_type in ONE_LAYER or hasattr(self, node.op_type)):
            raise refusal(node, "no Keras layer is known for this operator")
        inputs = [self.values.get(name) for name in node.input]
        for i in range(1 if node.op_type in NUMBERS else len(inputs)):
            inputs[i] = tensors.get(node.input[i], inputs[i])
        constant = [x is None or isinstance(x, np.ndarray) for x in inputs]
        if node.op_type in WEIGHTED and (constant[0] or not all(constant[1:])):
            raise refusal(node, "not an activation and constant weights")
        operator = getattr(self, node.op_type, None)
        kind, options = ONE_LAYER.get(node.op_type, ("", {}))
        results = operator(*inputs) if operator else self.layer(kind, *inputs, **options)
        results = results if isinstance(results, list) else [results]
        expected = nhwc(self.values[node.output[0]]).shape
        if tuple(results[0].shape[1:]) != expected[1:]:
            raise refusal(node, f"its shape in Keras is {results[0].shape}, not {expected}")
        return results

    # Operators with weights

    def Conv(self, x, weight, bias=None):
        groups, channels, kernel = self.get("group", 1), self.shape[1], weight.shape[2:]
        strides, dilations, pads, same = self.window(kernel, dilated=True)
        depthwise, later = groups == channels > 1, None
        if max(strides) > 1 and (max(dilations) > 1 or (depthwise and strides[0] != strides[1])):
            strides, later, same = [1, 1], strides, False  # Keras has no such layer: stride later
        x = x if same else self.pad(x, pads)
        options = dict(kernel_size=kernel, strides=strides, dilation_rate=dilations)
        options |= dict(padding="same" if same else "valid", use_bias=bias is not None)
        if depthwise:
            weight = weight.reshape(channels, -1, *kernel).transpose(2, 3, 0, 1)
            options["depth_multiplier"] = weight.shape[3]
            x = self.layer("DepthwiseConv2D", x, [weight, bias], **options)
        else:
            options |= dict(filters=len(weight), groups=groups)
            x = self.layer("Conv2D", x, [weight.transpose(2, 3, 1, 0), bias], **options)
        options = dict(part=".stride", pool_size=1, strides=later)
        return self.layer("MaxPooling2D", x, **options) if later else x

    def ConvTranspose(self, x, weight, bias=None):
        strides, *_ = self.window(kernel := weight.shape[2:])
        size, out, s = map(np.array, (self.shape[2:], self.out[2:], strides))
        total = s * (size - 1) + kernel + self.get("output_padding", [0, 0]) - out
        half = total // 2 if self.get("auto_pad") == "SAME_UPPER" else total - total // 2
        before = np.array(self.get("pads", half))[:2]
        crops = np.stack([before, s * size + np.maximum(kernel - s, 0) - before - out], axis=1)
        if self.get("group", 1) > 1 or crops.min() < 0:
            raise refusal(
                self.node, "groups, and an output beyond the kernel's reach, are not known"
            )
        options = dict(filters=weight.shape[1], kernel_size=kernel, use_bias=bias is not None)
        weights = [weight.transpose(2, 3, 1, 0), bias]
        x = self.layer("Conv2DTranspose", x, weights, strides=strides, **options)
        return self.crop(x, crops.tolist())

    def Gemm(self, x, weight, bias=None):
        kernel = self.get("alpha", 1.0) * (weight.T if self.get("transB") else weight)
        if self.get("transA") or (bias is not None and bias.size not in (1, kernel.shape[1])):
            raise refusal(self.node, "transA, or a bias that is no vector")
        if bias is not None:
            bias = self.get("beta", 1.0) * np.broadcast_to(bias.ravel(), kernel.shape[1:])
        options = dict(units=kernel.shape[1], use_bias=bias is not None)
        return self.layer("Dense", x, [kernel, bias], **options)

    def MatMul(self, x, weight):
        if len(self.shape) == 4 or weight.ndim != 2:
            raise refusal(self.node, "only a matrix of weights, and no map, is known")
        return self.Gemm(x, weight)

    def BatchNormalization(self, x, *weights):
        options = dict(momentum=self.get("momentum", 0.9), epsilon=self.get("epsilon", 1e-5))
        return self.layer("BatchNormalization", x, weights, axis=self.axis(1), **options)

    def PRelu(self, x, slope):
        slope = nhwc(slope.reshape((1,) * (len(self.shape) - slope.ndim) + slope.shape))[0]
        shared = [axis for axis, size in enumerate(slope.shape, 1) if size == 1]
        return self.layer("PReLU", x, [slope], shared_axes=shared)

    # Operators without

    def Clip(self, x, low=None, high=None):
        low = float(self.get("min", -np.inf) if low is None else low)
        high = float(self.get("max", np.inf) if high is None else high)
        if not -np.inf < low < high:
            raise refusal(self.node, f"the limits {low} and {high} are not known")
        x = self.affine(x, offset=-low, part=".shift") if low else x
        x = self.layer("ReLU", x, max_value=None if high == np.inf else high - low)
        return self.affine(x, offset=low, part=".back") if low else x

    def HardSigmoid(self, x):
        x = self.affine(x, self.get("alpha", 0.2), self.get("beta", 0.5), ".line")
        return self.layer("ReLU", x, max_value=1.0)

    def HardSwish(self, x):
        if hasattr(self.keras.activations, "hard_silu"):  # not in tf_keras
            return self.layer("Activation", x, activation="hard_silu")
        line = self.affine(x, 1 / 6, 1 / 2, ".line")
        return self.layer("Multiply", [x, self.layer("ReLU", line, part=".gate", max_value=1.0)])

    def LeakyRelu(self, x):
        option = "negative_slope" if hasattr(self.keras, "ops") else "alpha"
        return self.layer("LeakyReLU", x, **{option: self.get("alpha", 0.01)})

    def Softmax(self, x):
        return self.layer("Softmax", x, axis=self.axis(self.get("axis", -1)))

    def Add(self, a, b):
        """Add, Sub, Mul or Div: of two activations, or of an activation and a constant."""
        kind = self.node.op_type
        first, second = (isinstance(x, np.ndarray) for x in (a, b))
        if first and kind in ("Add", "Mul"):
            a, b, second = b, a, True
        if second:
            scale, offset = {"Add": (1, b), "Sub": (1, -b), "Mul": (b, 0), "Div": (1 / b, 0)}[kind]
            return self.affine(a, scale, offset)
        if first or kind == "Div" or len(a.shape) != len(b.shape):
            raise refusal(self.node, "its inputs differ in rank, or the second is no constant")
        return self.layer(JOINS[kind], [a, b])

    Sub = Mul = Div = Add

    def Sum(self, *inputs):
        return self.layer("Add", list(inputs))

    def Concat(self, *inputs):
        if any(isinstance(x, np.ndarray) for x in inputs):
            raise refusal(self.node, "one input is constant")
        return self.layer("Concatenate", list(inputs), axis=self.axis(self.get("axis")))

    def MaxPool(self, x):
        strides, _, pads, same = self.window(kernel := self.get("kernel_shape"))
        if not same:  # ONNX pads with -inf. Lines of x leave the maximum as it is; zeros may not.
            zeros = self.made_by.get(self.node.input[0]) in ("Relu", "Sigmoid", "HardSigmoid")
            x = self.pad(x, pads, "constant" if zeros else "edge")
        options = dict(strides=strides, padding="same" if same else "valid")
        return self.layer("MaxPooling2D", x, pool_size=kernel, **options)

    def AveragePool(self, x):
        strides, _, pads, same = self.window(kernel := self.get("kernel_shape"))
        include, ends = self.get("count_include_pad", 0), self.get("pads", np.array(pads).T.ravel())
        same = same and not include  # Keras does not count what it pads
        options = dict(pool_size=kernel, strides=strides, padding="same" if same else "valid")
        x = self.layer("AveragePooling2D", x if same else self.pad(x, pads), **options)
        scale = []
        for axis in (0, 1):
            start = np.arange(self.out[2 + axis]) * strides[axis] - pads[axis][0]
            low, high = (-ends[axis], ends[2 + axis]) if include else (0, 0)
            end = np.minimum(start + kernel[axis], self.shape[2 + axis] + high)
            scale.append(kernel[axis] / (end - np.maximum(start, low)))
        scale = np.outer(*scale)  # for each pixel: how many the mean took, over how many count
        return x if same or (scale == 1).all() else self.affine(x, scale, part=".count")

    def ReduceMean(self, x, axes=None):
        axes = self.get("axes", ()) if axes is None else axes
        if len(self.shape) != 4 or {int(a) % 4 for a in axes} != {2, 3}:
            raise refusal(self.node, "only the mean of height and width is known")
        return self.layer("GlobalAveragePooling2D", x, keepdims=bool(self.get("keepdims", 1)))

    def Identity(self, x, *_):
        return x

    CastLike = Dropout = Identity

    def Reshape(self, x, *_):
        ordered = [len(s) != 4 or s[1] == 1 or s[2:] == (1, 1) for s in (self.shape, self.out)]
        if self.out[0] != self.shape[0]:
            raise refusal(self.node, "it changes the batch")
        x = x if ordered[0] else self.permute(x, TO_ONNX)
        target = nhwc(self.values[self.node.output[0]]).shape if ordered[1] else self.out
        x = self.layer("Reshape", x, target_shape=target[1:])
        return x if ordered[1] else self.permute(x, TO_KERAS)

    Flatten = Squeeze = Unsqueeze = Reshape

    def Transpose(self, x):
        order = self.get("perm", range(len(self.shape))[::-1])
        if order[0] != 0:
            raise refusal(self.node, "it moves the batch")
        four = len(order) == 4
        return self.permute(x, [TO_ONNX[order[axis]] for axis in TO_KERAS] if four else order)

    def Resize(self, x, *_):
        mode = self.get("mode", "nearest")
        where = self.get("coordinate_transformation_mode", "half_pixel")
        linear = mode == "linear" and where in ("half_pixel", "pytorch_half_pixel")
        if len(self.shape) != 4 or not (linear or mode == "nearest"):
            raise refusal(self.node, f"mode {mode!r} with {where!r} is not known")
        size, options = self.out[2:], {"interpolation": "bilinear" if linear else "nearest"}
        if any(np.array(size) % self.shape[2:]):
            return self.layer("Resizing", x, height=size[0], width=size[1], **options)
        factors = (np.array(size) // self.shape[2:]).tolist()
        return self.layer("UpSampling2D", x, size=factors, **options)

    def Pad(self, x, pads=None, value=None, axes=None):
        pads = self.get("pads") if pads is None else pads
        value = self.get("value", 0) if value is None else np.ravel(value)[0]
        pairs, mode = np.zeros((len(self.shape), 2), int), self.get("mode", "constant")
        pairs[slice(None) if axes is None else axes] = np.reshape(pads, (2, -1)).T
        if len(pairs) != 4 or pairs[0].any() or pairs[1].min() < 0 or value:
            raise refusal(self.node, f"{pairs.tolist()} with {value} is not known")
        x = self.crop(x, np.maximum(-pairs[2:], 0).tolist())
        x = self.pad(x, np.maximum(pairs[2:], 0).tolist(), mode)
        if pairs[1].any():  # channels, in the place of the height
            x = self.pad(self.permute(x, TO_ONNX), [pairs[1].tolist(), [0, 0]], mode)
            x = self.permute(x, TO_KERAS)
        return x

    def Split(self, x, *_):
        axis = self.get("axis", 0) % len(self.shape)
        sizes = [self.values[name].shape[axis] for name in self.node.output]
        return [self.part(x, axis, *ends) for ends in pairwise(np.cumsum([0, *sizes]).tolist())]

    def Slice(self, x, starts=None, ends=None, axes=None, steps=None):
        if starts is None or (steps is not None and np.any(steps != 1)):
            raise refusal(self.node, "only steps of 1 are known, of opset 10 or later")
        axes = range(len(starts)) if axes is None else axes
        for axis, start, end in zip(axes, starts, ends, strict=True):
            x = self.part(x, axis % 4, *slice(start, end).indices(self.shape[axis])[:2])
        return x
