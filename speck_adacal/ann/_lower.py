"""From `torch.fx` nodes to the nodes of a layer graph."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx, nn

from speck_adacal.ann import _layers as layers
from speck_adacal.ann import _operations as ops
from speck_adacal.ann._call import Call, RefusedError, Steps
from speck_adacal.ann._compare import difference
from speck_adacal.ann._layout import Moved, channel_axis, followed, moves, node_of
from speck_adacal.ann._refusal import Refusal
from speck_adacal.ann.functions import Softmax
from speck_adacal.ann.graph import Kind, LayerGraph, Node
from speck_adacal.ann.modules import StandIn
from speck_adacal.errors import ModelError

# What PyTorch and our handlers raise for arguments that they cannot take.
_RAW = (RuntimeError, TypeError, ValueError, IndexError, KeyError, AttributeError)


def is_leaf(module: nn.Module) -> bool:
    """Whether `module` is lowered whole: PyTorch's and sinabs' own layers."""
    if isinstance(module, nn.Sequential | nn.ModuleList | nn.ModuleDict):
        return False
    return type(module).__module__.startswith(("torch.nn", "torch.ao.nn", "sinabs."))


def _cause(module: nn.Module | None) -> str:
    """What about a module makes its result another than its layer's, as far as one can see."""
    if module is None:
        return "; an argument that has no counterpart here changes it"
    if module._forward_hooks or module._forward_pre_hooks:
        return "; it has a forward hook: write what the hook does into the network's forward"
    if "forward" in vars(module):
        return "; its forward was replaced: write the change into a module of its own"
    return "; a global hook or a patch changes it"


def _squeezed(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape without ones at its end: `x.squeeze(3)` stands for flattening already."""
    while len(shape) > 1 and shape[-1] == 1:
        shape = shape[:-1]
    return tuple(shape)


def _user_path(target: str) -> str:
    return target.removeprefix("inner").removeprefix(".") or "the network itself"


class Lowering:
    """Collects layer graph nodes, one fx node at a time.

    Args:
        model: the traced (private) model, for its modules and parameters.
        tracer: holds every value on the example batch, and the sources.
        input_shape: shape of one input.

    Attributes:
        refusals: the operations that are not supported; stand-ins take their places.
    """

    def __init__(self, model: nn.Module, tracer: Any, input_shape: tuple[int, ...]) -> None:
        self._model = model
        self._tracer = tracer
        self._input_shape = input_shape
        self._nodes: list[Node] = []
        self._values: dict[str, torch.Tensor] = {}  # what the graph computes on the example
        self._of: dict[fx.Node, str] = {}
        self._moved: dict[fx.Node, Moved] = {}  # values on their way, which have no node yet
        self._outputs: tuple[str, ...] = ()
        self.refusals: list[Refusal] = []

    def graph(self) -> LayerGraph:
        """The finished graph."""
        return LayerGraph(tuple(self._nodes), self._outputs, self._input_shape)

    def lower(self, node: fx.Node) -> None:
        """Take in one fx node."""
        if node.op == "placeholder":
            self._nodes.append(Node("input", Kind.INPUT, (), None, self._input_shape))
            self._values["input"] = self._tracer.results[node]
            self._of[node] = "input"
        elif node.op == "output":
            self._outputs = self._output_names(node.args[0])
        elif node.op != "get_attr":
            self._lower_operation(node)

    def _lower_operation(self, node: fx.Node) -> None:
        call = Call.of(node, self._tracer.values, self._tracer.root)
        before = [a for a in node.all_input_nodes if a in self._of or a in self._moved]
        if not before or self._follows(node, call):
            return  # arithmetic on parameters alone is a constant
        for earlier in before:
            self._settle(earlier)
        if self._picks_values(node, call):
            return
        why = self._taken_in(node, call)
        if why is not None:
            # What takes apart the result of one that gave no tensor is no further operation.
            known = all(isinstance(self._tracer.values[a], torch.Tensor) for a in before)
            self._stand_in(node, call, why, tuple(self._of[a] for a in before), known)

    def _follows(self, node: fx.Node, call: Call) -> bool:
        """Take in an operation that only moves values, unless it has a node of its own."""
        first = call.first
        if not moves(call) or not isinstance(first, fx.Node):
            return False
        before = self._moved.get(first)
        if before is None:
            value = self._tracer.results[first]
            if first not in self._of or not isinstance(value, torch.Tensor) or self._has_node(call):
                return False
            places = torch.arange(value.numel(), dtype=torch.float64).view(value.shape)
            before = Moved(self._of[first], places, call)
        try:
            self._moved[node] = Moved(before.source, followed(node, call, before.places), call)
        except RefusedError:
            return False
        return True

    def _has_node(self, call: Call) -> bool:
        """Whether an operation is one that the graph has a node for, or that changes nothing."""
        handler = ops.handler_for(call)
        try:
            return handler is not None and handler(call) is not None
        except (ModelError, *_RAW):
            return False

    def _settle(self, node: fx.Node) -> None:
        """Give values that were on their way their node."""
        moved = self._moved.pop(node, None)
        if moved is None:
            return
        source = next(n for n in self._nodes if n.name == moved.source)
        try:
            if not isinstance(moved.places, torch.Tensor):
                raise RefusedError("it gives several tensors; take them one by one")
            found = node_of(moved.places, source.shape, source.channel_axis)
            self._of[node] = source.name
            if found is not None:
                kind, module, axis = found
                name = self._append(node, moved.call, 0, kind, module, (source.name,), axis)
                self._of[node] = name
            if (why := self._difference(node, moved.call)) is not None:
                raise RefusedError(why)
        except RefusedError as refusal:
            self._stand_in(node, moved.call, str(refusal), (source.name,))

    def _picks_values(self, node: fx.Node, call: Call) -> bool:
        """The values of a maximum that gives their places too: `x.max(1)[0]`, or `.values`."""
        first = call.first
        whole = self._tracer.values.get(first)
        if first not in self._of or not (isinstance(whole, tuple) and hasattr(whole, "values")):
            return False
        if call.result is not whole.values:
            why = "it takes the places of a maximum"
            self._stand_in(node, call, why, (self._of[first],))
        else:
            self._of[node] = self._of[first]
        return True

    def _taken_in(self, node: fx.Node, call: Call) -> str | None:
        """Append the operation's nodes; the reason where it is not supported, else None."""
        handler = ops.handler_for(call)
        if handler is None:
            return ""
        inputs = tuple(self._of[a] for a in call.tensor_nodes(set(self._of)))
        try:
            for i, (kind, module) in enumerate(self._steps(handler, call, inputs)):
                inputs = (self._append(node, call, i, kind, module, inputs),)
        except RefusedError as refusal:
            return str(refusal)
        self._of[node] = inputs[0]
        if call.in_place:
            self._overwrite(call, inputs[0])
        return self._difference(node, call)

    def _steps(self, handler: Any, call: Call, inputs: tuple[str, ...]) -> Steps:
        try:
            steps: Steps = handler(call)
            # `x.view(b, -1, 1, 1)` stays a list of features in the graph.
            if steps and steps[0][0] is Kind.CONV and self._values[inputs[0]].ndim == 2:
                steps = [layers.as_linear(steps[0][1]), *steps[1:]]
        except ModelError as refusal:
            raise RefusedError(str(refusal)) from None
        except _RAW as error:
            raise RefusedError(f"it cannot be read ({error})") from error
        return steps

    def _stand_in(
        self, node: fx.Node, call: Call, why: str, inputs: tuple[str, ...], known: bool = True
    ) -> None:
        """Go on behind an unsupported operation, with a node that gives values of its shape."""
        path = _user_path(str(node.target)) if node.op == "call_module" else ""
        source = self._tracer.sources.get(node, "")
        value = self._tracer.results[node]
        if known:
            self.refusals.append(Refusal.of(call.label, path, source, why))
        shape = tuple(value.shape[1:]) if isinstance(value, torch.Tensor) else ()
        name = self._unique(self._base_name(node, call))
        module = StandIn(call.label, self.refusals[-1].why, shape)
        self._nodes.append(Node(name, Kind.UNSUPPORTED, inputs, module, shape, source))
        # What follows is compared on the true values.
        true = value if isinstance(value, torch.Tensor) else module(self._values[inputs[0]])
        self._values[name] = true
        self._of[node] = name

    def _overwrite(self, call: Call, name: str) -> None:
        """An in-place operation changes what later readers of its first argument see."""
        first = call.first
        old = self._of.get(first) if isinstance(first, fx.Node) else None
        for node, value in self._of.items():
            if value == old:
                self._of[node] = name

    def _append(
        self,
        node: fx.Node,
        call: Call,
        step: int,
        kind: Kind,
        module: nn.Module,
        inputs: tuple[str, ...],
        axis: int | None = None,
    ) -> str:
        base = self._base_name(node, call)
        name = self._unique(base if step == 0 else f"{base}.{kind.value}")
        try:
            with torch.no_grad():
                value = module(*(self._values[i] for i in inputs)).float()
        except _RAW as error:
            shapes = ", ".join(str(tuple(self._values[i].shape[1:])) for i in inputs)
            raise RefusedError(f"it cannot run on inputs of shape {shapes} ({error})") from error
        source = self._tracer.sources.get(node, "")
        shape = tuple(value.shape[1:])
        if axis is None:
            first = next(n for n in self._nodes if n.name == inputs[0])
            axis = channel_axis(kind, module, first, len(shape))
        made = Node(name, kind, inputs, module, shape, source, channel_axis=axis)
        self._nodes.append(made)
        self._values[name] = value
        return name

    def _base_name(self, node: fx.Node, call: Call) -> str:
        if node.op == "call_module":
            path = str(node.target).removeprefix("inner").removeprefix(".")
            return path or type(call.module).__name__.lower()
        return node.name

    def _unique(self, base: str) -> str:
        taken = {n.name for n in self._nodes}
        name, count = base, 1
        while name in taken:
            count += 1
            name = f"{base}#{count}"
        return name

    def _difference(self, node: fx.Node, call: Call) -> str | None:
        """The graph must compute what the call computed, hooks and patches included."""
        expected, found = self._tracer.results[node], self._values[self._of[node]]
        if isinstance(expected, tuple) and hasattr(expected, "values"):
            expected = expected.values  # of a maximum, whose places are left out
        same = isinstance(expected, torch.Tensor) and expected.shape[0] == found.shape[0]
        if not same or _squeezed(expected.shape[1:]) != _squeezed(found.shape[1:]):
            return "its result does not keep the batch axis first"
        gap = difference(found, expected)
        return None if gap is None else f"{gap}{_cause(call.module)}"

    def _output_names(self, value: Any) -> tuple[str, ...]:
        if isinstance(value, fx.Node):
            self._settle(value)
            if value not in self._of:
                raise ModelError("The network's output does not depend on its input.")
            self._refuse_last_softmax(value)
            return (self._of[value],)
        if isinstance(value, dict):
            value = tuple(value.values())
        if not isinstance(value, tuple | list) or not value:
            raise ModelError(
                f"The network returns {type(value).__name__}; a tensor, or a tuple, list or "
                "dict of tensors is supported."
            )
        return tuple(name for item in value for name in self._output_names(item))

    def _refuse_last_softmax(self, value: fx.Node) -> None:
        node = next(n for n in self._nodes if n.name == self._of[value])
        if isinstance(node.module, Softmax):
            self.refusals.append(Refusal.of("Softmax", node.name, node.source))
