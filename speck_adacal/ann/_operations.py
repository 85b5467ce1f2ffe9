"""What each supported operation becomes: one handler per operation, functional forms included."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from sinabs import layers as sl
from torch import fx, nn
from torch.nn import functional as F

from speck_adacal.ann import _layers as layers
from speck_adacal.ann import modules as m
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


def handler_for(call: Call) -> Callable[[Call], Steps] | None:
    """The handler of a call, or None where the operation is not supported."""
    if call.module is not None:
        for kind, handler in _MODULES.items():
            if isinstance(call.module, kind):
                return handler
        return None
    if isinstance(call.key, str):
        return _METHODS.get(call.key)
    return _FUNCTIONS.get(call.key)


def supports(module: nn.Module) -> bool:
    """Whether a module of PyTorch or sinabs can be lowered."""
    return isinstance(module, tuple(_MODULES))


def _nothing(call: Call) -> Steps:
    return []


def _dropout_function(call: Call) -> Steps:
    if call.get(2, "training", True):
        raise RefusedError("it drops units at inference too; pass training=self.training")
    return []


def _relu(call: Call) -> Steps:
    return [(Kind.ACTIVATION, m.Rectifier())]


def _relu6(call: Call) -> Steps:
    return [(Kind.ACTIVATION, m.Rectifier(6.0))]


def _clipped(low: Any, high: Any) -> Steps:
    if isinstance(low, torch.Tensor) or isinstance(high, torch.Tensor):
        raise RefusedError("its bounds are tensors; use numbers")
    if low is None or float(low) != 0.0:
        raise RefusedError(f"its lower bound is {low}; a spiking neuron needs 0")
    if high is not None and float(high) <= 0:
        raise RefusedError(f"its upper bound is {high}; it must be above 0")
    return [(Kind.ACTIVATION, m.Rectifier(None if high is None else float(high)))]


def _hardtanh_module(call: Call) -> Steps:
    return _clipped(call.module.min_val, call.module.max_val)  # type: ignore[union-attr]


def _hardtanh(call: Call) -> Steps:
    return _clipped(call.get(1, "min_val", -1.0), call.get(2, "max_val", 1.0))


def _clamp(call: Call) -> Steps:
    return _clipped(call.get(1, "min"), call.get(2, "max"))


def _clamp_min(call: Call) -> Steps:
    return _clipped(call.get(1, "min"), None)


def _flatten(call: Call) -> Steps:
    """Anything that reshapes `[batch, ...]` to `[batch, features]`, or changes nothing."""
    return _reshaped(call, call.get(0, "input"))


def _reshaped(call: Call, x: torch.Tensor) -> Steps:
    if call.module is not None:
        result = call.module(x)
    else:
        args = fx.map_arg((call.args, call.kwargs), call.values.__getitem__)
        function = getattr(x, call.key) if isinstance(call.key, str) else call.key
        skip = 1 if isinstance(call.key, str) else 0
        result = function(*args[0][skip:], **args[1])
    if result.shape == x.shape:
        return []
    if tuple(result.shape) == (x.shape[0], x[0].numel(), *(1,) * (result.ndim - 2)):
        return [(Kind.FLATTEN, nn.Flatten(start_dim=1))]
    found = tuple(result.shape[1:])
    raise RefusedError(f"it turns {tuple(x.shape[1:])} into {found}; only flattening is")


def _add(call: Call) -> Steps:
    left, right = call.get(0, "input"), call.get(1, "other")
    if call.kwargs.get("alpha", 1) != 1:
        raise RefusedError("it has alpha other than 1")
    if _two_tensors(call):
        if left.shape != right.shape:
            raise RefusedError(f"it broadcasts {tuple(left.shape)} and {tuple(right.shape)}")
        return [(Kind.ADD, m.Add())]
    constant = right if isinstance(call.args[0], fx.Node) and _carries(call, 0) else left
    return _affine(call, torch.tensor(1.0), torch.as_tensor(constant))


def _subtract(call: Call) -> Steps:
    if _two_tensors(call) or not _carries(call, 0):
        raise RefusedError("only subtracting a constant is")
    return _affine(call, torch.tensor(1.0), -torch.as_tensor(call.get(1, "other")))


def _multiply(call: Call) -> Steps:
    if _two_tensors(call):
        raise RefusedError("it multiplies two activations; only constants are")
    constant = call.get(1, "other") if _carries(call, 0) else call.get(0, "input")
    return _affine(call, torch.as_tensor(constant), torch.tensor(0.0))


def _divide(call: Call) -> Steps:
    if _two_tensors(call) or not _carries(call, 0):
        raise RefusedError("only dividing by a constant is")
    return _affine(call, 1.0 / torch.as_tensor(call.get(1, "other")), torch.tensor(0.0))


def _carries(call: Call, position: int) -> bool:
    """Whether an argument depends on the network's input: it has the batch axis."""
    node = call.args[position] if position < len(call.args) else None
    return isinstance(node, fx.Node) and node.op != "get_attr" and _depends(node)


def _depends(node: fx.Node) -> bool:
    return node.op == "placeholder" or any(_depends(n) for n in node.all_input_nodes)


def _two_tensors(call: Call) -> bool:
    return _carries(call, 0) and _carries(call, 1)


def _affine(call: Call, weight: torch.Tensor, bias: torch.Tensor) -> Steps:
    x = next(v for i in (0, 1) if _carries(call, i) for v in [call.get(i, "")])
    channels = x.shape[1]
    return [
        (Kind.SCALE, m.Scale(_channelwise(weight, x, channels), _channelwise(bias, x, channels)))
    ]


def _channelwise(value: torch.Tensor, x: torch.Tensor, channels: int) -> torch.Tensor:
    value = value.detach().float()
    if value.numel() == 1:
        return value.reshape(1).expand(channels).clone()
    axis = x.ndim - value.ndim
    shape = (1,) * axis + tuple(value.shape)
    if shape != (1, channels) + (1,) * (x.ndim - 2):
        raise RefusedError(f"its constant has shape {tuple(value.shape)}; one value per channel is")
    return value.reshape(channels).clone()


def _concat(call: Call) -> Steps:
    tensors, dim = call.get(0, "tensors"), call.get(1, "dim", 0)
    if dim % tensors[0].ndim != 1:
        raise RefusedError(f"it joins along axis {dim}; the channel axis (1) is")
    return [(Kind.CONCAT, m.Concat())]


def _getitem(call: Call) -> Steps:
    x, index = call.get(0, "input"), call.get(1, "index")
    if not isinstance(x, torch.Tensor):
        raise RefusedError("only slices of tensors are")
    index = index if isinstance(index, tuple) else (index,)
    if any(not isinstance(i, slice) for i in index if i is not Ellipsis):
        raise RefusedError("only slices such as x[:, :, ::2, ::2] are")
    if Ellipsis in index:
        at = index.index(Ellipsis)
        fill = (slice(None),) * (x.ndim - len(index) + 1)
        index = index[:at] + fill + index[at + 1 :]
    index = index + (slice(None),) * (x.ndim - len(index))
    if index[0] != slice(None):
        raise RefusedError("it slices the batch axis")
    slices = tuple(s.indices(n) for s, n in zip(index[1:], x.shape[1:], strict=True))
    return [(Kind.SUBSAMPLE, m.Subsample(slices))]


def _pad(call: Call) -> Steps:
    x, padding = call.get(0, "input"), tuple(int(p) for p in call.get(1, "pad"))
    mode, value = call.get(2, "mode", "constant"), call.get(3, "value")
    if mode != "constant" or (value or 0) != 0:
        raise RefusedError(f"its mode is {mode!r} with value {value}; padding with zeros is")
    if len(padding) > 2 * (x.ndim - 1):
        raise RefusedError("it pads the batch axis")
    if min(padding) < 0:
        raise RefusedError("it crops (negative padding); use a slice")
    return [(Kind.PAD, m.Pad(padding))] if any(padding) else []


def _zero_pad_module(call: Call) -> Steps:
    return [(Kind.PAD, m.Pad(tuple(call.module.padding)))]  # type: ignore[union-attr,arg-type]


def _mean(call: Call) -> Steps:
    x, dim, keep = call.get(0, "input"), call.get(1, "dim"), call.get(2, "keepdim", False)
    dims = {dim} if isinstance(dim, int) else set(dim or ())
    spatial = set(range(2, x.ndim))
    if not spatial or {d % x.ndim for d in dims} != spatial:
        raise RefusedError(f"it averages over axes {dim}; all spatial axes together are")
    pool = layers.global_average(x)
    return [pool] if keep else [pool, (Kind.FLATTEN, nn.Flatten(start_dim=1))]


def _module(call: Call) -> Steps:
    """Layers with weights and pools, taken whole."""
    try:
        return layers.from_module(call.module, call.get(0, "input"))
    except layers.LayerRefusedError as error:
        raise RefusedError(str(error)) from None


def _function(call: Call) -> Steps:
    """Functional forms of the same."""
    args, kwargs = fx.map_arg((call.args, call.kwargs), call.values.__getitem__)
    for node in fx.map_arg(call.args[1:3], lambda n: n):
        if isinstance(node, fx.Node) and _depends(node):
            raise RefusedError("its weights are computed from the input")
    try:
        return layers.from_function(call.label, *args, **kwargs)
    except layers.LayerRefusedError as error:
        raise RefusedError(str(error)) from None


_MODULES: dict[type, Callable[[Call], Steps]] = {
    nn.Identity: _nothing,
    nn.modules.dropout._DropoutNd: _nothing,
    nn.ReLU6: _relu6,
    nn.Hardtanh: _hardtanh_module,
    nn.ReLU: _relu,
    sl.NeuromorphicReLU: _relu,
    nn.Flatten: _flatten,
    nn.ZeroPad1d: _zero_pad_module,
    nn.ZeroPad2d: _zero_pad_module,
    sl.Merge: lambda call: [(Kind.ADD, m.Add())],
    **dict.fromkeys(layers.MODULES, _module),
}

_RESHAPES = (
    "view",
    "reshape",
    "flatten",
    "squeeze",
    "contiguous",
    "clone",
    "float",
    "to",
    "detach",
)
_METHODS: dict[str, Callable[[Call], Steps]] = {
    **dict.fromkeys(_RESHAPES, _flatten),
    **dict.fromkeys(("relu", "relu_"), _relu),
    **dict.fromkeys(("clamp", "clamp_", "clip"), _clamp),
    **dict.fromkeys(("clamp_min", "clamp_min_"), _clamp_min),
    **dict.fromkeys(("add", "add_"), _add),
    **dict.fromkeys(("sub", "sub_"), _subtract),
    **dict.fromkeys(("mul", "mul_"), _multiply),
    **dict.fromkeys(("div", "div_"), _divide),
    "mean": _mean,
}

_FUNCTIONS: dict[Any, Callable[[Call], Steps]] = {
    **dict.fromkeys((torch.flatten, torch.reshape, torch.squeeze), _flatten),
    **dict.fromkeys((F.relu, F.relu_, torch.relu, torch.relu_), _relu),
    F.relu6: _relu6,
    F.hardtanh: _hardtanh,
    **dict.fromkeys((torch.clamp, torch.clip), _clamp),
    torch.clamp_min: _clamp_min,
    **dict.fromkeys((operator.add, operator.iadd, torch.add), _add),
    **dict.fromkeys((operator.sub, operator.isub, torch.sub), _subtract),
    **dict.fromkeys((operator.mul, operator.imul, torch.mul), _multiply),
    **dict.fromkeys((operator.truediv, operator.itruediv, torch.div), _divide),
    **dict.fromkeys((torch.cat, torch.concat, torch.concatenate), _concat),
    operator.getitem: _getitem,
    F.pad: _pad,
    torch.mean: _mean,
    **dict.fromkeys((F.dropout, F.dropout1d, F.dropout2d), _dropout_function),
    **dict.fromkeys(layers.functions(), _function),
}
