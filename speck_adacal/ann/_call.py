"""One traced call of a network, with its arguments."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Any

from torch import fx, nn

from speck_adacal.ann._signatures import named_arguments
from speck_adacal.ann.graph import Kind
from speck_adacal.errors import ModelError

Steps = list[tuple[Kind, nn.Module]]


class RefusedError(ModelError):
    """A supported operation with settings that are not; the text says which."""


@dataclass(frozen=True, eq=False)
class Call:
    """One traced call with its arguments, where fx nodes stand for tensors.

    Attributes:
        key: the module's type, the function, or the method's name.
        label: how messages call it.
        arguments: by the names of the signature, however they were given (`named_arguments`).
        module: the called module, or None.
        values: every fx node's value on the example batch.
        result: the call's own value there.
    """

    key: Any
    label: str
    arguments: dict[str, Any]
    module: nn.Module | None
    values: dict[fx.Node, Any]
    result: Any

    @classmethod
    def of(cls, node: fx.Node, values: dict[fx.Node, Any], root: nn.Module) -> Call:
        """The call that `node` records."""
        module = None
        key: Any = node.target
        label = str(getattr(node.target, "__name__", node.target))
        if node.op == "call_module":
            module = root.get_submodule(str(node.target))
            key = type(module)
            label = key.__name__
        arguments = named_arguments(node, module)
        return cls(key, label, arguments, module, values, values.get(node))

    def get(self, name: str, default: Any = None) -> Any:
        """An argument by name, fx nodes replaced by their example values."""
        return fx.map_arg(self.arguments.get(name, default), self.values.__getitem__)

    @property
    def first(self) -> Any:
        """The first argument: for a method its object, for most others the tensor worked on."""
        return next(iter(self.arguments.values()), None)

    @property
    def in_place(self) -> bool:
        """Whether the first argument is overwritten."""
        if self.module is not None:
            return bool(getattr(self.module, "inplace", False))
        name = str(getattr(self.key, "__name__", self.key))
        operators = (operator.iadd, operator.isub, operator.imul, operator.itruediv)
        flag = bool(self.arguments.get("inplace", False))
        return self.key in operators or flag or (name.endswith("_") and name[0] != "_")

    def tensor_nodes(self, known: set[fx.Node]) -> list[fx.Node]:
        """The fx nodes among the arguments that carry data, in order, repeats kept."""
        found: list[fx.Node] = []
        fx.map_arg(self.arguments, lambda n: found.append(n) if n in known else None)
        return found
