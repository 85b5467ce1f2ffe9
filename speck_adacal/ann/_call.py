"""One traced call of a network, with its arguments."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Any

from torch import fx, nn
from torch.nn import functional as F

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
        args: positional arguments (for a method, the object first).
        kwargs: keyword arguments.
        module: the called module, or None.
        values: every fx node's value on the example batch.
    """

    key: Any
    label: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    module: nn.Module | None
    values: dict[fx.Node, Any]

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
        return cls(key, label, tuple(node.args), dict(node.kwargs), module, values)

    def get(self, position: int, name: str, default: Any = None) -> Any:
        """An argument by position or keyword, fx nodes replaced by their example values."""
        value = self.args[position] if position < len(self.args) else self.kwargs.get(name, default)
        return fx.map_arg(value, self.values.__getitem__)

    @property
    def in_place(self) -> bool:
        """Whether the first argument is overwritten."""
        if self.module is not None:
            return bool(getattr(self.module, "inplace", False))
        name = str(getattr(self.key, "__name__", self.key))
        operators = (operator.iadd, operator.isub, operator.imul, operator.itruediv)
        flag = self.kwargs.get("inplace", False)
        if self.key in (F.relu, F.relu6):
            flag = flag or (len(self.args) > 1 and self.args[1])
        return self.key in operators or bool(flag) or (name.endswith("_") and name[0] != "_")

    def tensor_nodes(self, known: set[fx.Node]) -> list[fx.Node]:
        """The fx nodes among the arguments that carry data, in order, repeats kept."""
        found: list[fx.Node] = []
        fx.map_arg((self.args, self.kwargs), lambda n: found.append(n) if n in known else None)
        return found
