"""Parts of a converter from ONNX to Keras: NHWC, and what Keras' layers do in another way.

A tensor of four dimensions is (N, C, H, W) in ONNX and (N, H, W, C) in Keras; any other has the
same order in both.
"""

import re

import numpy as np

TO_KERAS, TO_ONNX = (0, 2, 3, 1), (0, 3, 1, 2)


def nhwc(x):
    return x.transpose(TO_KERAS) if x.ndim == 4 else x


def tidy(name):
    return re.sub(r"[^A-Za-z0-9_]+", ".", name).strip("._") or "unnamed"  # what Keras accepts


def refusal(node, reason):
    return ValueError(f"{node.op_type} {node.name or node.output[0]!r}: {reason}")


class Layers:
    """Adds Keras layers for one node of ONNX at a time.

    `node` is that node, `get(name, default)` its attributes, `shape` and `out` the ONNX shapes of
    its first input and output.
    """

    def __init__(self, keras):
        self.keras, self.names = keras, set()

    def layer(self, kind, x, weights=(), part="", **options):
        """Return x after a new layer, which has the name of the node, or that of a part of it."""
        weight = next((x for x in self.node.input if x.endswith(".weight")), "")
        name = weight.removesuffix(".weight") or self.node.name or self.node.output[0]
        name = unique = tidy(name) + part
        while unique in self.names:
            unique = f"{name}.{len(self.names)}"
        self.names.add(unique)
        layer = getattr(self.keras.layers, kind)(name=unique, **options)
        x = layer(x)
        layer.set_weights([w for w in weights if w is not None])
        return x

    def axis(self, axis):
        axis %= len(self.shape)
        return TO_ONNX[axis] if len(self.shape) == 4 else axis

    def permute(self, x, order):
        stays = list(order) == sorted(order)
        return x if stays else self.layer("Permute", x, part=".order", dims=order[1:])

    def crop(self, x, crops):
        cut = np.any(crops)
        return self.layer("Cropping2D", x, part=".crop", cropping=crops) if cut else x

    def pad(self, x, pads, mode="constant"):
        """Pad height and width with zeros, or with lines of x itself, as numpy.pad's modes do."""
        if mode == "constant":
            return self.layer("ZeroPadding2D", x, part=".pad", padding=pads) if np.any(pads) else x
        for axis, (before, after) in enumerate(pads):
            size = x.shape[1 + axis]
            lines = np.pad(np.arange(size), (before, after), mode).tolist()
            crops = [[(0, 0)] * axis + [(i, size - 1 - i)] + [(0, 0)] * (1 - axis) for i in lines]
            parts = [self.crop(x, crop) for crop in crops]
            parts[before : before + size] = [x]
            if before + after:
                x = self.layer("Concatenate", parts, part=".pad", axis=1 + axis)
        return x

    def window(self, kernel, dilated=False):
        """Return strides, dilations, pads of height and width, and if Keras' "same" is as these."""
        if len(self.shape) != 4:
            raise refusal(self.node, "only two spatial dimensions are known")
        size, out, kernel = map(np.array, (self.shape[2:], self.out[2:], kernel))
        strides, dilations = (np.array(self.get(x, [1, 1])) for x in ("strides", "dilations"))
        if max(dilations) > 1 and not dilated:
            raise refusal(self.node, "dilations are not known")
        total = (out - 1) * strides + (kernel - 1) * dilations + 1 - size
        before, auto = np.array(self.get("pads", [0, 0]))[:2], self.get("auto_pad", "NOTSET")
        if auto.startswith("SAME"):  # of an odd number, one more is below, or above
            before = (np.maximum(total, 0) + (auto == "SAME_LOWER")) // 2
        pads = np.stack([before, np.maximum(total - before, 0)], axis=1)
        same = (before == np.maximum(total, 0) // 2) & (out == -(-size // strides))
        return strides.tolist(), dilations.tolist(), pads.tolist(), bool(same.all())

    def affine(self, x, scale=1.0, offset=0.0, part=""):
        """Return x * scale + offset: trainable if one of them is a number for each channel."""
        values = [np.asarray(v, np.float32) for v in (scale, offset)]
        rank, channels = len(x.shape), x.shape[-1]
        values = [nhwc(v.reshape((1,) * (rank - v.ndim) + v.shape))[0] for v in values]
        shapes, each = {v.shape for v in values}, (1, 1, channels)
        if rank == 4 and channels > 1 and shapes in ({each}, {each, (1, 1, 1)}):
            scale, offset = (np.broadcast_to(v, each) for v in values)
            weights = [scale[..., None], offset[0, 0]]
            return self.layer("DepthwiseConv2D", x, weights, part, kernel_size=1)
        scale, offset = (v.item() if v.size == 1 else v.tolist() for v in values)
        return self.layer("Rescaling", x, part=part, scale=scale, offset=offset)

    def part(self, x, axis, start, stop):
        """Return x[..., start:stop] of an axis of ONNX."""
        if len(self.shape) != 4 or axis == 0:
            raise refusal(self.node, "only channels, height and width are known")
        cut = [start, self.shape[axis] - stop]
        if axis == 1:  # channels, in the place of the height
            return self.permute(self.crop(self.permute(x, TO_ONNX), [cut, [0, 0]]), TO_KERAS)
        return self.crop(x, [cut, [0, 0]] if axis == 2 else [[0, 0], cut])
