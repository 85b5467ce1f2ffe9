"""From `torch.fx` nodes to the nodes of a layer graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn

from speck_adacal.ann import _layers as layers
from speck_adacal.ann import _operations as ops
from speck_adacal.ann._call import Call, RefusedError, Steps
from speck_adacal.ann._compare import difference
from speck_adacal.ann.graph import Kind, LayerGraph, Node
from speck_adacal.ann.modules import StandIn
from speck_adacal.errors import ModelError

SUPPORTED = (
    "Conv1d, Conv2d, Linear, BatchNorm, ReLU, ReLU6, Hardtanh and clamp from 0, average, sum and "
    "max pooling, mean over space, flatten, dropout, addition, concatenation of channels, "
    "strided slices, zero padding, and scaling by constants"
)


# What PyTorch and our handlers raise for arguments that they cannot take.
_RAW = (RuntimeError, TypeError, ValueError, IndexError, KeyError, AttributeError)


def is_leaf(module: nn.Module) -> bool:
    """Whether `module` is lowered whole: PyTorch's and sinabs' own layers."""
    if isinstance(module, nn.Sequential | nn.ModuleList | nn.ModuleDict):
        return False
    return type(module).__module__.startswith(("torch.nn", "torch.ao.nn", "sinabs."))


_NO_SOFTMAX = "trace the network without it, since the largest logit decides as well"
_NO_NEGATIVE = "spikes carry no values below zero, so train the network with ReLU in its place"
_SPIKES = "a network that is spiking already comes in by from_sinabs, or speck-adacal import"
_NEURONS = ("iaf", "lif", "alif", "expleak")
_HINTS = dict.fromkeys(("softmax", "logsoftmax", "softmax2d"), _NO_SOFTMAX) | dict.fromkeys(
    ("leakyrelu", "prelu", "rrelu", "elu", "selu", "celu", "gelu", "silu", "hardswish", "tanh"),
    _NO_NEGATIVE,
)
_HINTS |= {kind + form: _SPIKES for kind in _NEURONS for form in ("", "squeeze", "recurrent")}


@dataclass(frozen=True)
class Refusal:
    """One operation that is not supported.

    Attributes:
        label: how messages call the operation.
        path: the module's place in the model; empty for a function.
        source: where it stands in the user's code; empty where that is not known.
        why: the reason, with what to do instead, where there is more to say.
    """

    label: str
    path: str
    source: str
    why: str

    @classmethod
    def of(cls, label: str, path: str, source: str, why: str = "") -> Refusal:
        """A refusal with the advice that belongs to the operation."""
        return cls(label, path, source, why or _HINTS.get(label.lower().replace("_", ""), ""))

    def __str__(self) -> str:
        place = f" ({self.path})" if self.path else ""
        place += f" at {self.source}" if self.source else ""
        return f"{self.label}{place}" + (f": {self.why}" if self.why else "")


def refused(refusals: Sequence[Refusal]) -> ModelError:
    """The error that names all unsupported operations of a network."""
    if len(refusals) == 1:
        only = refusals[0]
        place, _, why = str(only).partition(": ") if only.why else (str(only), "", "")
        reason = f": {why}" if why else ""
        return ModelError(f"Operation {place} is not supported{reason}; supported are {SUPPORTED}.")
    listed = "\n".join(f"  {refusal}" for refusal in refusals)
    return ModelError(
        f"{len(refusals)} operations are not supported:\n{listed}\nSupported are {SUPPORTED}."
    )


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
        if not any(a in self._of for a in node.all_input_nodes):
            return  # arithmetic on parameters alone; its value is a constant
        why = self._taken_in(node, call)
        if why is not None:
            self._stand_in(node, call, why)

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

    def _stand_in(self, node: fx.Node, call: Call, why: str) -> None:
        """Go on behind an unsupported operation, with a node that gives values of its shape."""
        path = _user_path(str(node.target)) if node.op == "call_module" else ""
        source = self._tracer.sources.get(node, "")
        value = self._tracer.results[node]
        before = [a for a in node.all_input_nodes if a in self._of]
        # What takes apart the result of one that gave no tensor is no further operation.
        if all(isinstance(self._tracer.values[a], torch.Tensor) for a in before):
            self.refusals.append(Refusal.of(call.label, path, source, why))
        shape = tuple(value.shape[1:]) if isinstance(value, torch.Tensor) else ()
        name = self._unique(self._base_name(node, call))
        module = StandIn(call.label, self.refusals[-1].why, shape)
        inputs = tuple(self._of[a] for a in before)
        self._nodes.append(Node(name, Kind.UNSUPPORTED, inputs, module, shape, source))
        # What follows is compared on the true values.
        known = value if isinstance(value, torch.Tensor) else module(self._values[inputs[0]])
        self._values[name] = known
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
        self._nodes.append(Node(name, kind, inputs, module, tuple(value.shape[1:]), source))
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
        same = isinstance(expected, torch.Tensor) and expected.shape[0] == found.shape[0]
        if not same or _squeezed(expected.shape[1:]) != _squeezed(found.shape[1:]):
            return "its result does not keep the batch axis first"
        gap = difference(found, expected)
        return None if gap is None else f"{gap}{_cause(call.module)}"

    def _output_names(self, value: Any) -> tuple[str, ...]:
        if isinstance(value, fx.Node):
            if value not in self._of:
                raise ModelError("The network's output does not depend on its input.")
            return (self._of[value],)
        if isinstance(value, dict):
            value = tuple(value.values())
        if not isinstance(value, tuple | list) or not value:
            raise ModelError(
                f"The network returns {type(value).__name__}; a tensor, or a tuple, list or "
                "dict of tensors is supported."
            )
        return tuple(name for item in value for name in self._output_names(item))
