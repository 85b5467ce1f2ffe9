"""What joins, means, maxima and resampling of a network become."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from speck_adacal.ann import modules as m
from speck_adacal.ann._arithmetic import depends_on_input
from speck_adacal.ann._call import Call, RefusedError, Steps
from speck_adacal.ann.graph import Kind
from speck_adacal.ann.routing import Join, MaxOver, MeanOver, Resample

Handler = Callable[[Call], Steps]


def concatenate(call: Call) -> Steps:
    """Along channels a node of its own, which a chip may know; along another axis a route."""
    tensors, dim = call.get("tensors"), call.get("dim", 0)
    axis = dim % tensors[0].ndim
    if axis == 0:
        raise RefusedError("it joins along the batch axis")
    varies = [depends_on_input(node) for node in call.arguments["tensors"]]
    if not all(varies):
        return _beside_constants(tensors, varies, axis)
    return [(Kind.CONCAT, m.Concat())] if axis == 1 else [(Kind.ROUTE, Join(axis))]


def _beside_constants(tensors: list[torch.Tensor], varies: list[bool], axis: int) -> Steps:
    """One value with constants before and behind it (a class token): padded, and shifted there."""
    if sum(varies) != 1 or any(bool((t != t[:1]).any()) for t in _without(tensors, varies)):
        raise RefusedError("it joins several values with constants; join these first")
    at = varies.index(True)
    zeros = torch.zeros_like(tensors[at])
    shift = torch.cat([*tensors[:at], zeros, *tensors[at + 1 :]], axis)[0].detach().float()
    widths = [sum(t.shape[axis] for t in part) for part in (tensors[:at], tensors[at + 1 :])]
    padding = (0, 0) * (zeros.ndim - 1 - axis) + (widths[0], widths[1])
    return [
        (Kind.PAD, m.Pad(padding)),
        (Kind.AFFINE, m.Affine(torch.ones((1,) * shift.ndim), shift)),
    ]


def _without(tensors: list[torch.Tensor], varies: list[bool]) -> list[torch.Tensor]:
    return [t for t, data in zip(tensors, varies, strict=True) if not data]


def stack(call: Call) -> Steps:
    """Along a new axis."""
    tensors, dim = call.get("tensors"), call.get("dim", 0)
    axis = dim % (tensors[0].ndim + 1)
    if axis == 0:
        raise RefusedError("it stacks along the batch axis")
    return [(Kind.ROUTE, Join(axis, new=True))]


def axes_of(call: Call) -> tuple[int, ...]:
    """The axes that a reduction names.

    Raises:
        RefusedError: none, or the batch axis among them.
    """
    # What is not named of `torch.max(x, 1)` is read as a second tensor.
    x, dim = call.get("input"), call.get("dim", call.get("other"))
    if dim is None or isinstance(dim, torch.Tensor):
        raise RefusedError("it takes all samples together; name the axes of a sample")
    dims = tuple(d % x.ndim for d in ((dim,) if isinstance(dim, int) else dim))
    if 0 in dims:
        raise RefusedError(f"it is over axes {dim}, the batch axis among them")
    return dims


def mean(call: Call) -> Steps:
    """Over any axes of a sample."""
    return [(Kind.ROUTE, MeanOver(axes_of(call), bool(call.get("keepdim", False))))]


def total(call: Call) -> Steps:
    """The sum over any axes of a sample."""
    return [(Kind.ROUTE, MeanOver(axes_of(call), bool(call.get("keepdim", False)), summed=True))]


def largest(call: Call) -> Steps:
    """The maximum over any axes of a sample."""
    if isinstance(call.get("other"), torch.Tensor):
        raise RefusedError("of two tensors write torch.maximum")
    return [(Kind.MAX_POOL, MaxOver(axes_of(call), bool(call.get("keepdim", False))))]


def resample(call: Call) -> Steps:
    """`F.interpolate` and the modules that call it."""
    module: Any = call.module

    def given(name: str, default: Any = None) -> Any:
        return getattr(module, name) if module is not None else call.get(name, default)

    x, mode, size = call.get("input"), given("mode", "nearest"), given("size")
    axes = x.ndim - 2
    if mode not in ("nearest", "nearest-exact", "linear", "bilinear"):
        raise RefusedError(f"its mode is {mode!r}; nearest and linear ones are")
    if not module and call.get("antialias", False):
        raise RefusedError("it smooths (antialias=True)")
    factor = given("scale_factor")
    scale = None if factor is None else _numbers(factor, axes)
    if given("recompute_scale_factor"):
        size, scale = tuple(call.result.shape[2:]), None
    if size is not None:
        size = tuple(int(n) for n in _numbers(size, axes))
    return [
        (Kind.ROUTE, Resample(size or tuple(call.result.shape[2:]), mode, _corners(given), scale))
    ]


def _corners(given: Callable[..., Any]) -> bool | None:
    corners = given("align_corners")
    return None if corners is None else bool(corners)


def _numbers(value: Any, axes: int) -> tuple[float, ...]:
    return tuple(value) if isinstance(value, tuple | list) else (value,) * axes


MODULES: dict[type, Handler] = {nn.Upsample: resample}
METHODS: dict[str, Handler] = {
    "sum": total,
    **dict.fromkeys(("amax", "max"), largest),
}
FUNCTIONS: dict[Any, Handler] = {
    **dict.fromkeys((torch.cat, torch.concat, torch.concatenate), concatenate),
    torch.stack: stack,
    torch.sum: total,
    **dict.fromkeys((torch.amax, torch.max), largest),
    F.interpolate: resample,
}
