"""What each supported operation becomes: one handler per operation, functional forms included."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
from sinabs import layers as sl
from torch import fx, nn
from torch.nn import functional as F

from speck_adacal.ann import _arithmetic as arithmetic
from speck_adacal.ann import _layers as layers
from speck_adacal.ann import _layout as layout
from speck_adacal.ann import _moving, _nonlinear
from speck_adacal.ann import _wide_layers as _wide
from speck_adacal.ann import modules as m
from speck_adacal.ann._call import Call, RefusedError, Steps
from speck_adacal.ann.graph import Kind


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
    return isinstance(module, (*_MODULES, *layout.MODULES))


def _nothing(call: Call) -> Steps:
    return []


def _dropout_function(call: Call) -> Steps:
    if call.get("training", True):
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
    return _clipped(call.get("min_val", -1.0), call.get("max_val", 1.0))


def _clamp(call: Call) -> Steps:
    return _clipped(call.get("min"), call.get("max"))


def _clamp_min(call: Call) -> Steps:
    return _clipped(call.get("min"), None)


def _reshape(call: Call) -> Steps:
    """Anything that reshapes `[batch, ...]` to `[batch, features]`, or changes nothing."""
    x, result = call.get("input"), call.result
    if result.shape == x.shape:
        return []
    if tuple(result.shape) == (x.shape[0], x[0].numel(), *(1,) * (result.ndim - 2)):
        return [] if x.ndim == 2 else [(Kind.FLATTEN, nn.Flatten(start_dim=1))]
    found = tuple(result.shape[1:])
    raise RefusedError(f"it turns {tuple(x.shape[1:])} into {found}; only flattening is")


def _getitem(call: Call) -> Steps:
    x, index = call.get("input"), call.get("other")
    if not isinstance(x, torch.Tensor):
        raise RefusedError("only slices of tensors are")
    index = index if isinstance(index, tuple) else (index,)
    if None in index and all(i in (None, Ellipsis, slice(None)) for i in index):
        return _reshape(call)
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
    x, padding = call.get("input"), tuple(int(p) for p in call.get("pad"))
    mode, value = call.get("mode", "constant"), call.get("value")
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
    x, dim, keep = call.get("input"), call.get("dim"), call.get("keepdim", False)
    dims = {dim} if isinstance(dim, int) else set(dim or ())
    spatial = set(range(2, x.ndim))
    if not spatial or {d % x.ndim for d in dims} != spatial:
        return _moving.mean(call)
    pool = layers.global_average(x)
    return [pool] if keep else [pool, (Kind.FLATTEN, nn.Flatten(start_dim=1))]


def _module(call: Call) -> Steps:
    """Layers with weights and pools, taken whole."""
    x: torch.Tensor = call.get("input")
    if isinstance(call.module, nn.Linear) and x.ndim > 2:
        return _wide.token_linear(x, call.module.weight, call.module.bias)
    try:
        return layers.from_module(call.module, x)
    except layers.LayerRefusedError as error:
        raise RefusedError(str(error)) from None


def _function(call: Call) -> Steps:
    """Functional forms of the same."""
    for name in ("weight", "bias"):
        node = call.arguments.get(name)
        if isinstance(node, fx.Node) and arithmetic.depends_on_input(node):
            raise RefusedError("its weights are computed from the input")
    if call.label == "linear" and call.get("input").ndim > 2:
        return _wide.token_linear(*(call.get(name) for name in ("input", "weight", "bias")))
    try:
        return layers.from_function(call.label, **{n: call.get(n) for n in call.arguments})
    except layers.LayerRefusedError as error:
        raise RefusedError(str(error)) from None


_MODULES: dict[type, Callable[[Call], Steps]] = {
    nn.Identity: _nothing,
    nn.modules.dropout._DropoutNd: _nothing,
    nn.ReLU6: _relu6,
    nn.Hardtanh: _hardtanh_module,
    nn.ReLU: _relu,
    sl.NeuromorphicReLU: _relu,
    nn.Flatten: _reshape,
    nn.ZeroPad1d: _zero_pad_module,
    nn.ZeroPad2d: _zero_pad_module,
    sl.Merge: lambda call: [(Kind.ADD, m.Add())],
    **dict.fromkeys(layers.MODULES, _module),
    **dict.fromkeys((nn.ConvTranspose1d, nn.ConvTranspose2d), _wide.transposed),
    **_nonlinear.MODULES,
    **_moving.MODULES,
}

_RESHAPES = (
    "view",
    "reshape",
    "flatten",
    "squeeze",
    "unsqueeze",
    "contiguous",
    "clone",
    "float",
    "to",
    "detach",
)
_METHODS: dict[str, Callable[[Call], Steps]] = {
    **dict.fromkeys(_RESHAPES, _reshape),
    **dict.fromkeys(("relu", "relu_"), _relu),
    **dict.fromkeys(("clamp", "clamp_", "clip"), _clamp),
    **dict.fromkeys(("clamp_min", "clamp_min_"), _clamp_min),
    **dict.fromkeys(("add", "add_"), arithmetic.add),
    **dict.fromkeys(("sub", "sub_"), arithmetic.subtract),
    **dict.fromkeys(("mul", "mul_"), arithmetic.multiply),
    **dict.fromkeys(("div", "div_"), arithmetic.divide),
    "mean": _mean,
    **_nonlinear.METHODS,
    **_moving.METHODS,
}

_FUNCTIONS: dict[Any, Callable[[Call], Steps]] = {
    **dict.fromkeys((torch.flatten, torch.reshape, torch.squeeze, torch.unsqueeze), _reshape),
    **dict.fromkeys((F.relu, F.relu_, torch.relu, torch.relu_), _relu),
    F.relu6: _relu6,
    F.hardtanh: _hardtanh,
    **dict.fromkeys((torch.clamp, torch.clip), _clamp),
    torch.clamp_min: _clamp_min,
    **dict.fromkeys((operator.add, operator.iadd, torch.add), arithmetic.add),
    **dict.fromkeys((operator.sub, operator.isub, torch.sub), arithmetic.subtract),
    **dict.fromkeys((operator.mul, operator.imul, torch.mul), arithmetic.multiply),
    **dict.fromkeys((operator.truediv, operator.itruediv, torch.div), arithmetic.divide),
    operator.getitem: _getitem,
    F.pad: _pad,
    torch.mean: _mean,
    **dict.fromkeys((F.dropout, F.dropout1d, F.dropout2d), _dropout_function),
    **dict.fromkeys(layers.functions(), _function),
    **_nonlinear.FUNCTIONS,
    **_moving.FUNCTIONS,
}
