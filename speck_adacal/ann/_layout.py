"""Operations that only move values, followed as places in what they began with.

A chain of them, whatever it does with the batch axis in between, becomes one node where it ends.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional as F

from speck_adacal.ann._call import Call, RefusedError
from speck_adacal.ann.functions import Attention, MatrixProduct
from speck_adacal.ann.graph import Kind, Node
from speck_adacal.ann.routing import Gather, Layout, MaxOver, MeanOver, Shape

_NAMES = (
    "view", "reshape", "flatten", "unflatten", "ravel", "squeeze", "unsqueeze", "permute",
    "transpose", "swapaxes", "swapdims", "movedim", "moveaxis", "t", "expand", "expand_as",
    "broadcast_to", "repeat", "tile", "narrow", "select", "chunk", "split", "split_with_sizes",
    "tensor_split", "unbind", "flip", "roll", "rot90", "repeat_interleave", "index_select",
    "unfold",
)  # fmt: skip
_SAME = ("contiguous", "clone", "float", "to", "detach", "type_as")
_FUNCTIONS: frozenset[Any] = frozenset(
    {getattr(torch, name) for name in _NAMES if hasattr(torch, name)}
    | {operator.getitem, F.pixel_shuffle, F.pixel_unshuffle, torch.pixel_shuffle}
    | {torch.channel_shuffle, F.channel_shuffle}
)
MODULES = (
    nn.Flatten,
    nn.Unflatten,
    nn.PixelShuffle,
    nn.PixelUnshuffle,
    nn.ChannelShuffle,
    nn.modules.padding._ReplicationPadNd,
    nn.modules.padding._ReflectionPadNd,
)


@dataclass(frozen=True, eq=False)
class Moved:
    """Values on their way.

    Attributes:
        source: the graph's node that they come from.
        places: float64, places in the flattened batch of `source`, in the shape of the value; or a
            tuple of such.
        call: the last operation.
    """

    source: str
    places: Any
    call: Call


def moves(call: Call) -> bool:
    """Whether a call only moves values of its first argument."""
    if call.module is not None:
        return isinstance(call.module, MODULES)
    if isinstance(call.key, str):
        return call.key in (*_NAMES, *_SAME)
    if call.key is F.pad:
        return call.get("mode", "constant") in ("replicate", "reflect", "circular")
    return call.key in _FUNCTIONS


def followed(node: fx.Node, call: Call, places: Any) -> Any:
    """The places after one more operation.

    Args:
        node: the operation.
        call: the same, read.
        places: before it.

    Raises:
        RefusedError: it cannot be followed.
    """
    if call.key in _SAME:
        return places
    first = node.args[0] if node.args else next(iter(node.kwargs.values()))

    def value(other: fx.Node) -> Any:
        return places if other is first else call.values[other]

    args, kwargs = fx.map_arg(tuple(node.args), value), fx.map_arg(dict(node.kwargs), value)
    try:
        with torch.no_grad():
            if call.module is not None:
                return call.module(*args, **kwargs)
            if isinstance(node.target, str):
                return getattr(args[0], node.target)(*args[1:], **kwargs)
            function: Callable[..., Any] = node.target
            return function(*args, **kwargs)
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        raise RefusedError(f"it cannot be read ({error})") from error


def channel_axis(kind: Kind, module: nn.Module, source: Node, axes: int) -> int:
    """The axis of the channels of what a node gives.

    Args:
        kind, module: of the node.
        source: its first input.
        axes: of what it gives.
    """
    if kind is Kind.TOKEN_LINEAR or isinstance(module, MatrixProduct | Attention):
        return axes - 1
    if kind in (Kind.CONV, Kind.LINEAR, Kind.TRANSPOSED, Kind.FLATTEN):
        return 0
    at = source.channel_axis
    if isinstance(module, MeanOver | MaxOver) and not module.keep:
        gone = [d - 1 for d in module.dims]
        return 0 if at in gone else at - sum(d < at for d in gone)
    return at if axes == len(source.shape) else 0


def node_of(places: torch.Tensor, shape: Shape, axis: int) -> tuple[Kind, nn.Module, int] | None:
    """What moves values to `places`: kind, module and the axis of the channels; None for nothing.

    Args:
        places: as in `Moved`, `[2, *new]`.
        shape: of a sample of the source.
        axis: of its channels.

    Raises:
        RefusedError: values cross from one sample to another.
    """
    size = int(torch.tensor(shape).prod())
    index = places.round().long()
    crosses = index.ndim < 1 or len(index) != 2 or index[0].numel() == 0
    if crosses or int(index[0].max()) >= size or not torch.equal(index[1], index[0] + size):
        raise RefusedError("its result does not keep the batch axis first")
    index = index[0]
    if tuple(index.shape) == tuple(shape) and torch.equal(index.flatten(), torch.arange(size)):
        return None
    if index.shape == (size,) and torch.equal(index, torch.arange(size)):
        return Kind.FLATTEN, nn.Flatten(start_dim=1), 0
    return Kind.ROUTE, _module(index), _channel_axis(index, shape, axis)


def _module(index: torch.Tensor) -> nn.Module:
    strides = _strides(index)
    return Gather(index) if strides is None else Layout(tuple(index.shape), *strides)


def _strides(index: torch.Tensor) -> tuple[Shape, int] | None:
    offset = int(index.flatten()[0])
    strides, line = [], torch.tensor(offset)
    for axis, length in enumerate(index.shape):
        at = [0] * index.ndim
        at[axis] = min(1, length - 1)
        strides.append(int(index[tuple(at)]) - offset)
        line = line.unsqueeze(-1) + strides[-1] * torch.arange(length)
    if min(strides, default=0) < 0 or not torch.equal(line, index):
        return None
    return tuple(strides), offset


def _channel_axis(index: torch.Tensor, shape: Shape, axis: int) -> int:
    """The axis along which only channels change, and all of them in order; else the first."""
    stride = int(torch.tensor(shape[axis + 1 :]).prod()) if axis + 1 < len(shape) else 1
    channels = index // stride % shape[axis]
    for new, length in enumerate(index.shape):
        ordered = torch.arange(length).view(-1, *(1,) * (index.ndim - 1 - new))
        if length == shape[axis] and torch.equal(channels, ordered.expand_as(index)):
            return new
    return 0
