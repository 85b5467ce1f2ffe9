"""A `torch.fx` tracer that knows the shape of every value, so that code may branch on shapes."""

from __future__ import annotations

import operator
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import fx, nn

_TORCH = str(Path(torch.__file__).parent)
_HERE = str(Path(__file__).parent)
_JOINS = (torch.cat, torch.concat, torch.concatenate, torch.stack)


class ShapeProxy(fx.Proxy):
    """A proxy whose shape can be read as plain numbers while tracing."""

    @property
    def _value(self) -> torch.Tensor:
        tracer: Any = self.tracer
        value: torch.Tensor = tracer.values[self.node]
        return value

    @property
    def shape(self) -> torch.Size:
        """Shape with the tracing batch size of 2."""
        return self._value.shape

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self._value.ndim

    @property
    def dtype(self) -> torch.dtype:
        """Element type."""
        return self._value.dtype

    @property
    def device(self) -> torch.device:
        """Device."""
        return self._value.device

    def size(self, dim: int | None = None) -> Any:
        """Shape, or the length of one axis."""
        return self._value.size() if dim is None else self._value.size(dim)

    def dim(self) -> int:
        """Number of axes."""
        return self._value.ndim

    def numel(self) -> int:
        """Number of elements."""
        return self._value.numel()

    @property
    def data(self) -> ShapeProxy:
        """The value itself."""
        return self

    @property
    def T(self) -> Any:
        """With its axes the other way round."""
        return self.permute(*reversed(range(self.ndim)))

    @property
    def mT(self) -> Any:
        """With its last two axes exchanged."""
        return self.transpose(-2, -1)

    def __len__(self) -> int:
        return len(self._value)


class PartsProxy(fx.Proxy):
    """A proxy of several tensors (chunks, say), which can be counted and gone through."""

    def __len__(self) -> int:
        tracer: Any = self.tracer
        return len(tracer.values[self.node])

    def __iter__(self) -> Any:
        return (self[at] for at in range(len(self)))

    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice):
            return tuple(self[n] for n in range(*at.indices(len(self))))
        return self.tracer.create_proxy("call_function", operator.getitem, (self, at), {})

    def __add__(self, other: Any) -> Any:
        return (*self, *other)

    def __radd__(self, other: Any) -> Any:
        return (*other, *self)


class OneInput(nn.Module):
    """Calls `inner` with one tensor, so that optional arguments keep their defaults."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> Any:
        """Run the network."""
        return self.inner(x)


class ShapeTracer(fx.Tracer):
    """Traces a module on one example batch; `values`, `results` and `sources` are kept per fx node.

    `values` are the tensors themselves, which in-place operations may change later; `results` are
    copies of what each call gave.

    Args:
        example: `[2, *input_shape]`, random, so that equal results mean equal operations.
        is_leaf: which modules are not looked into.
    """

    def __init__(self, example: torch.Tensor, is_leaf: Callable[[nn.Module], bool]) -> None:
        super().__init__()
        self._example = example
        self._is_leaf = is_leaf
        self._running = False
        self.values: dict[fx.Node, Any] = {}
        self.results: dict[fx.Node, Any] = {}
        self.sources: dict[fx.Node, str] = {}

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Whether `m` becomes one node."""
        return self._is_leaf(m)

    def proxy(self, node: fx.Node) -> fx.Proxy:
        """The object that user code sees for `node`."""
        if isinstance(self.values.get(node), torch.Tensor):
            return ShapeProxy(node, self)
        if isinstance(self.values.get(node), tuple | list):
            return PartsProxy(node, self)
        return fx.Proxy(node, self)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        """Attributes of modules; parameters become graph nodes unless a value is computed."""
        if self._running:
            return attr_val
        if isinstance(attr_val, torch.Tensor) and not isinstance(attr_val, nn.Parameter):
            return self._buffer(attr_val)
        return super().getattr(attr, attr_val, parameter_proxy_cache)

    def _buffer(self, value: torch.Tensor) -> Any:
        for name, buffer in self.root.named_buffers():
            if buffer is value:
                return self.create_proxy("get_attr", name, (), {})
        return value

    def create_proxy(
        self, kind: str, target: Any, args: Any, kwargs: Any, *rest: Any, **named: Any
    ) -> Any:
        """A traced call; several tensors that are joined are taken one by one."""
        if target in _JOINS:
            args, kwargs = _apart(args), {name: _apart((v,))[0] for name, v in kwargs.items()}
        return super().create_proxy(kind, target, args, kwargs, *rest, **named)

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: Any
    ) -> Any:
        """A module call met while tracing or while computing a value."""
        if self._running:
            return forward(*args, **kwargs)
        return super().call_module(m, forward, args, kwargs)

    def create_node(
        self,
        kind: str,
        target: Any,
        args: Any,
        kwargs: Any,
        name: Any = None,
        type_expr: Any = None,
    ) -> fx.Node:
        """Record a node, its value on the example, and where it stands in the user's code."""
        node = super().create_node(kind, target, args, kwargs, name, type_expr)
        self.sources[node] = _user_frame()
        if kind != "output":
            self._running = True
            try:
                value = self._compute(kind, target, args, kwargs)
            finally:
                self._running = False
            self.values[node] = value
            self.results[node] = value.clone() if isinstance(value, torch.Tensor) else value
        return node

    def _compute(self, kind: str, target: Any, args: Any, kwargs: Any) -> Any:
        if kind == "placeholder":
            return self._example
        if kind == "get_attr":
            return _attribute(self.root, target)
        lookup = self.values.__getitem__
        args, kwargs = fx.map_arg(args, lookup), fx.map_arg(kwargs, lookup)
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if kind == "call_module":
                return self.root.get_submodule(target)(*args, **kwargs)
            if kind == "call_method":
                return getattr(args[0], target)(*args[1:], **kwargs)
            return target(*args, **kwargs)


def _apart(values: Any) -> Any:
    return tuple(tuple(v) if isinstance(v, PartsProxy) else v for v in values)


def _attribute(root: Any, path: str) -> Any:
    value = root
    for part in path.split("."):
        value = getattr(value, part)
    return value


def _user_frame() -> str:
    """`file:line (function)` of the innermost caller outside torch and this package, or ''."""
    frame = sys._getframe(1)
    while frame is not None:
        name = frame.f_code.co_filename
        if name.startswith(_HERE):
            if frame.f_code.co_name in ("trace", "trace_whole"):
                return ""
        elif not name.startswith((_TORCH, "<")):
            return f"{Path(name).name}:{frame.f_lineno} ({frame.f_code.co_name})"
        frame = frame.f_back  # type: ignore[assignment]
    return ""
