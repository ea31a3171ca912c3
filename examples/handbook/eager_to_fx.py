"""Eager mode to FX graph mode: a prepared FX model with the observers of an eager one.

Source: the hooks of torch.ao.quantization.quantize, and the observer nodes of
torch.ao.quantization.fx.prepare, PyTorch 2.13.
"""

import copy

import torch
from torch import fx, nn
from torch.ao.nn.quantized import FloatFunctional, FXFloatFunctional
from torch.ao.quantization import DeQuantStub, QConfigMapping, QuantStub
from torch.ao.quantization.backend_config import ObservationType, get_native_backend_config
from torch.ao.quantization.fake_quantize import FakeQuantizeBase
from torch.ao.quantization.fx.custom_config import PrepareCustomConfig
from torch.ao.quantization.observer import ObserverBase
from torch.ao.quantization.quantize import _remove_activation_post_process
from torch.ao.quantization.quantize_fx import prepare_fx, prepare_qat_fx
from torch.nn import functional as F

_OBSERVERS, _STUBS = (ObserverBase, FakeQuantizeBase), (QuantStub, DeQuantStub)

# Operations whose int8 output has the scale and the zero point of their input.
_SHARE = ObservationType.OUTPUT_SHARE_OBSERVER_WITH_INPUT
_KEEP = {c.pattern for c in get_native_backend_config().configs if c.observation_type == _SHARE}
_KEEP |= {nn.ReLU, torch.relu, F.relu, "relu", nn.ReLU6, F.relu6, nn.Dropout, nn.Flatten}


def eager_observed_to_fx(eager: nn.Module, example_inputs: tuple) -> fx.GraphModule:
    """Return the prepared FX model of an eager one, calibrated or trained, which is left alone.

    It holds the eager model's observers or fake quantizers, and can be calibrated, trained and
    converted like what prepare_fx or prepare_qat_fx returns. Raises ValueError, with the name of
    the module or node, for an observer that has seen nothing or that FX has no place for, and for
    a result that FX quantizes and eager mode does not observe.
    """
    model, mapping, observers, results = copy.deepcopy(eager), QConfigMapping(), {}, {}
    for name, module in list(model.named_modules()):
        observer = getattr(module, "activation_post_process", None)
        if isinstance(observer, _OBSERVERS) and not isinstance(module, FakeQuantizeBase):
            if type(module) not in _KEEP:  # convert ignores the observer of nn.ReLU6
                observers[name] = observer
            mapping.set_module_name(name, module.qconfig).set_global(module.qconfig)
            _remove_activation_post_process(module)  # FX has nodes in place of hooks
        elif hasattr(module, "weight") and not any(name.startswith(f"{o}.") for o in observers):
            mapping.set_module_name(name, None)  # a layer in float
        if isinstance(module, FloatFunctional):
            model.set_submodule(name, _noting(name, results))
        elif isinstance(module, nn.Identity):  # what fusing has left of a batch normalization
            model.set_submodule(name, nn.Sequential())
    qat = any("qat" in type(module).__module__ for module in model.modules())
    stubs = PrepareCustomConfig().set_non_traceable_module_classes(list(_STUBS))
    prepare = prepare_qat_fx if qat else prepare_fx
    prepared = prepare(model, mapping, example_inputs, prepare_custom_config=stubs)
    modules = dict(prepared.named_modules(remove_duplicate=False))
    nodes = [n for n in prepared.graph.nodes if isinstance(modules.get(n.target), _OBSERVERS)]
    found = {node: _observed_by(node, observers, results, modules) for node in nodes}
    for name, observer in observers.items():
        inner = getattr(observer, "activation_post_process", observer)  # of a fake quantizer
        smallest = getattr(inner, "min_val", None)  # infinite or empty before the first input
        unused = smallest is None or not smallest.numel() or bool(torch.isinf(smallest).any())
        if unused and smallest is not None and name in found.values():
            raise ValueError(f"{name}: has observed nothing: calibrate the model first")
        if not unused and name not in found.values():
            raise ValueError(f"{name}: FX has no place for its observer")
    _exchange(prepared, {node: observers.get(name) for node, name in found.items()})
    return prepared


def _noting(name, results):
    """Return what FX traces in place of a FloatFunctional; it notes which node is its result."""
    traced = FXFloatFunctional()

    def noting(method):
        def note(*args, **options):
            result = method(*args, **options)
            results[result.node.name] = name
            return result

        return note

    for method in ("add", "add_relu", "mul", "cat", "matmul"):
        setattr(traced, method, noting(getattr(traced, method)))
    return traced


def _observed_by(node, observers, results, modules):
    """Return the name of the eager module that observes a value; None where it stays in float."""
    module = modules.get(node.target) if node.op == "call_module" else None
    name = results.get(node.name, node.target)
    if name in observers or isinstance(module, DeQuantStub):
        return name if name in observers else None
    inputs = [_observed_by(n, observers, results, modules) for n in node.all_input_nodes]
    kind = type(module) if module else node.target
    if isinstance(module, _OBSERVERS) or kind in _KEEP or not any(inputs):
        return inputs[0] if inputs else None
    raise ValueError(f"{node.name}: FX quantizes its result, and eager mode does not observe it")


def _exchange(prepared, found):
    """Put an eager observer at each observer node of FX, or remove the node where it is None."""
    graph, modules, targets = prepared.graph, dict(prepared.named_modules()), {}
    stubs = [node for node in graph.nodes if isinstance(modules.get(node.target), _STUBS)]
    for node in found:
        delattr(prepared, node.target)
    for node, observer in found.items():
        if observer:
            node.target = targets.setdefault(observer, f"activation_post_process_{len(targets)}")
            setattr(prepared, node.target, observer)
    for node in list(graph.nodes):
        # FX rounds the parts of a concatenation in its scale; eager mode in their own before that.
        after = [user for user in node.users if found.get(user)] if node.target is torch.cat else ()
        for part in node.all_input_nodes if after else ():
            if part.target != after[0].target:
                with graph.inserting_before(node):
                    node.replace_input_with(part, graph.call_module(after[0].target, (part,)))
        if found.get(node, node) is None or node in stubs:
            node.replace_all_uses_with(node.args[0])
            graph.erase_node(node)
    prepared.delete_all_unused_submodules()
    prepared.recompile()
