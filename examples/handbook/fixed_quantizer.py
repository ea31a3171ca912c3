"""FX graph mode to PT2E by a Quantizer: one that gives each edge the parameters that FX found.

`marked` returns the float network of a model that FX prepared, with a mark where FX has an observer
or fake quantizer. Export it, and prepare it with `FixedQuantizer`, which takes the marks out and
annotates in their places. There is nothing left to calibrate. After quantization aware training it
can go on: `marked(prepared, training=True)`, `FixedQuantizer(prepared, live=True)`.
Source: torchao/quantization/pt2e/quantizer/quantizer.py, torchao 0.18.
"""

import copy

import torch
from torch import fx, nn
from torch.ao.quantization.fake_quantize import FakeQuantizeBase
from torch.ao.quantization.observer import ObserverBase
from torchao.quantization import pt2e
from torchao.quantization.pt2e.quantizer import (
    FixedQParamsQuantizationSpec,
    QuantizationAnnotation,
    QuantizationSpec,
    Quantizer,
    SharedQuantizationSpec,
)

_DTYPES = {torch.quint8: torch.uint8, torch.qint8: torch.int8}
_LAYERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)  # with a channel for each row of the weight
_FLOAT = (nn.BatchNorm2d, nn.BatchNorm3d, nn.LayerNorm, nn.GroupNorm)  # parameters stay float


class Mark(nn.Module):
    """Stands for an observer in a float network; the exported node carries its name."""

    def forward(self, x):
        return x.clone()


def marked(prepared, training=False) -> fx.GraphModule:
    """Return the float network of a model that prepare_fx or prepare_qat_fx made, with marks.

    Batch normalization is folded, unless the model is to be trained on. Raises ValueError for a
    module whose weights can't be carried over.
    """
    model = copy.deepcopy(prepared)
    for name, module in _modules(model).items():
        if _is_observer(module):
            model.set_submodule(name, Mark())
        elif _weight_quantizer(name, module):
            if training and hasattr(module, "bn") and not isinstance(module, nn.Conv2d):
                raise ValueError(f"{name}: a {type(module).__name__} cannot be trained on")
            model.set_submodule(name, nn.Sequential(*_float_layers(module, training)))
    return model.train(training)


def _float_layers(module, training) -> list[nn.Module]:
    floats = module.to_float() if hasattr(module, "weight_fake_quant") else module
    layers = list(floats) if isinstance(floats, nn.Sequential) else [floats]
    if training and hasattr(module, "bn"):  # to_float has folded it
        layers[0].weight, layers[0].bias = module.weight, module.bias
        layers.insert(1, module.bn)
    return layers


class FixedQuantizer(Quantizer):
    """Annotate the export of `marked` with the parameters of the model that FX prepared.

    With `int8`, uint8 activations become int8: zero points and limits move by 128. `live` is for
    prepare_qat_pt2e: fake quantizers that go on from the state of FX's, and observe if those do.
    Raises ValueError for an observer that has seen nothing, or that torchao has no match for.
    """

    def __init__(self, prepared, int8=False, live=False):
        super().__init__()
        self.int8, self.live, self.weights, self.observers = int8, live, {}, {}
        for name, module in _modules(prepared).items():
            if _is_observer(module):
                self.observers[name] = module
            elif quantizer := _weight_quantizer(name, module):  # of layer 0 in marked()
                self.weights[f"{name}.0.weight"] = self.spec(f"{name}.weight", quantizer)

    def spec(self, name, theirs):
        """Return torchao's specification of a fake quantizer, or observer, of torch.ao."""
        observer = getattr(theirs, "activation_post_process", theirs)
        if torch.isinf(torch.as_tensor(getattr(observer, "min_val", 0.0))).any():
            raise ValueError(f"{name}: has observed nothing: calibrate the model first")
        if observer.dtype not in _DTYPES or getattr(observer, "is_dynamic", False):
            raise ValueError(f"{name}: a {type(observer).__name__} that is not static and 8 bits")
        shift = 128 if self.int8 and observer.dtype is torch.quint8 else 0
        dtype = torch.int8 if shift else _DTYPES[observer.dtype]
        limits = (theirs.quant_min - shift, theirs.quant_max - shift)
        scale, zero_point = theirs.calculate_qparams()
        live = self.live and isinstance(theirs, FakeQuantizeBase)
        if not live and not hasattr(observer, "ch_axis"):
            parameters = (dtype, scale.item(), zero_point.item() - shift, *limits)
            return FixedQParamsQuantizationSpec(*parameters, torch.per_tensor_affine)
        options = {"dtype": dtype, "quant_min": limits[0], "quant_max": limits[1]}
        options |= {"qscheme": observer.qscheme}
        options |= {"ch_axis": observer.ch_axis} if hasattr(observer, "ch_axis") else {}
        ours = _counterpart(name, theirs, options)
        ours.zero_point -= shift
        found = ours.calculate_qparams()
        if not (torch.equal(found[0], scale) and torch.equal(found[1] + shift, zero_point)):
            raise ValueError(f"{name}: torchao's {type(theirs).__name__} finds other parameters")
        if not live:
            ours.disable_observer()
        # prepare asks a class of this name for an instance: it gets ours, whatever the arguments.
        given = type("PerChannel" if ours.is_per_channel else "PerTensor", (), {})
        given.with_args = staticmethod(lambda **_: lambda: ours)
        return QuantizationSpec(observer_or_fake_quant_ctr=given, **options)

    def transform_for_annotation(self, model):
        """Take the marks out, and note the observer's name on the node that it observes."""
        for node in list(model.graph.nodes):
            stack = list(node.meta.get("nn_module_stack", {}).values())
            if node.target is torch.ops.aten.clone.default and stack[-1][0] in self.observers:
                source, name = node.args[0], stack[-1][0]
                if "fx_observer" in source.meta:
                    raise ValueError(f"{name}: a second observer of {source.name}")
                source.meta["fx_observer"] = name
                node.replace_all_uses_with(source)
                model.graph.erase_node(node)
        model.recompile()
        return model

    def annotate(self, model):
        """Give each observed node, and each edge from it, the parameters of its observer."""
        specs, owners = {}, {}
        for node in model.graph.nodes:
            if node.op == "get_attr" and node.target in self.weights:
                specs[node] = self.weights[node.target]
            elif name := node.meta.get("fx_observer"):
                observer = self.observers[name]
                owner = owners.setdefault(observer, node)  # FX shares: concatenation, pooling
                own = owner is node
                specs[node] = self.spec(name, observer) if own else SharedQuantizationSpec(owner)
        for node in model.graph.nodes:
            inputs = {x: specs[x] for x in node.all_input_nodes if x in specs}
            output = None if node.op == "get_attr" else specs.get(node)
            if node.op != "output" and (inputs or output):
                annotation = QuantizationAnnotation(inputs, output, _annotated=True)
                node.meta["quantization_annotation"] = annotation
        return model

    def validate(self, model):
        """Accept the model: nothing is asked of a backend."""


def _counterpart(name, theirs, options) -> nn.Module:
    """Return torchao's fake quantizer in the state of torch.ao's, or in that of an observer."""
    observer = getattr(theirs, "activation_post_process", theirs)
    fake = "FakeQuantize" if observer is theirs else type(theirs).__name__
    kinds = [getattr(pt2e, kind, None) for kind in (fake, type(observer).__name__)]
    if None in kinds:
        raise ValueError(f"{name}: torchao has no {type(theirs).__name__} of this kind")
    if hasattr(observer, "averaging_constant"):
        options = options | {"averaging_constant": observer.averaging_constant}
    ours = kinds[0](observer=kinds[1], **options)
    state = theirs.state_dict()
    if observer is theirs:  # its state is that of a part of ours
        state = {f"activation_post_process.{key}": value for key, value in state.items()}
        found = dict(zip(("scale", "zero_point"), theirs.calculate_qparams(), strict=True))
        state = ours.state_dict() | state | found
    ours.load_state_dict(state)
    return ours


def _modules(prepared) -> dict[str, nn.Module]:
    nodes = [node for node in prepared.graph.nodes if node.op == "call_module"]
    return {node.target: prepared.get_submodule(node.target) for node in nodes}


def _is_observer(module) -> bool:
    return isinstance(module, ObserverBase | FakeQuantizeBase)


def _weight_quantizer(name, module):
    """The fake quantizer of a layer's weight, or an observer that has seen it, or None."""
    trained = getattr(module, "weight_fake_quant", None)
    fused = isinstance(module, nn.Sequential) and not isinstance(module, _LAYERS)
    layer = module[0] if fused else module
    wanted = trained or (getattr(module, "qconfig", None) and not isinstance(module, _FLOAT))
    if not wanted or next(layer.parameters(), None) is None:
        return None
    if not isinstance(layer, _LAYERS):
        raise ValueError(f"{name}: a {type(module).__name__} cannot be carried over")
    if trained is None:
        trained = module.qconfig.weight()
        trained(layer.weight)
    return trained
