"""Which pooling behind neurons a core does by itself, on the way to its destination."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from sinabs import layers as sl
from torch import nn

from speck_adacal.ann.graph import Kind, LayerGraph, Node
from speck_adacal.ann.modules import Scale
from speck_adacal.ann.rewriting.strided import pair
from speck_adacal.chip_description import ChipLimits

Parts = tuple[tuple[Node, ...], tuple[Node, ...]]


def split_pools(graph: LayerGraph, source: Node, path: Sequence[Node], limits: ChipLimits) -> Parts:
    """What of the linear maps behind `source` its core does when it sends, and the rest.

    A pool of 8 behind neurons becomes one of 4, which costs nothing, and one of 2 in the rest.

    Returns:
        Both parts in order; together they do what `path` does.
    """
    kept: list[Node] = []
    rest = list(path)
    left = max(limits.poolings)
    if source.kind not in (Kind.ACTIVATION, Kind.ADD):
        return (), tuple(rest)
    while rest and (parts := _split(rest[0], _shape(kept, source), left, limits)):
        edge, pool, remainder = parts
        if not kept and not _pooled_alike(graph, source, edge, limits):
            break
        kept.append(pool)
        rest = [*remainder, *rest[1:]]
        left //= edge
        if remainder:
            break
    return tuple(kept), tuple(rest)


def _shape(kept: Sequence[Node], source: Node) -> tuple[int, ...]:
    return kept[-1].shape if kept else source.shape


def _pooled_alike(graph: LayerGraph, source: Node, edge: int, limits: ChipLimits) -> bool:
    """A core's spikes are pooled the same for all that read them."""
    found = (
        _split(node, source.shape, max(limits.poolings), limits)
        for node in graph.consumers(source.name)
    )
    return all(parts is not None and parts[0] == edge for parts in found)


def _split(
    node: Node, before: tuple[int, ...], most: int, limits: ChipLimits
) -> tuple[int, Node, tuple[Node, ...]] | None:
    """The edge that the core pools by, that pool, and what is left of `node`."""
    module: Any = node.module
    if not _tiles(node) or len(before) != 3:
        return None
    whole = pair(module.kernel_size)[0]
    if module.ceil_mode and any(n % whole for n in before[1:]):
        return None  # a window at the edge that is not whole is no window of smaller ones
    edges = [
        edge
        for edge in limits.poolings
        if 1 < edge <= most and whole % edge == 0 and not any(n % edge for n in before[1:])
    ]
    if not edges:
        return None
    edge = max(edges)
    divisor = getattr(module, "divisor_override", None)
    if edge == whole and not divisor:
        return edge, node, ()
    left = [] if whole == edge else [_pool(node, whole // edge)]
    if divisor:
        gain = torch.full((before[0],), whole**2 / divisor)
        left.append((Kind.SCALE, Scale(gain, torch.zeros_like(gain))))
    shape = (before[0], before[1] // edge, before[2] // edge)
    kind, pool = _pool(node, edge)
    first = replace(node, name=f"{node.name}.{edge}", kind=kind, module=pool, shape=shape)
    remainder, name = [], first.name
    for number, (kind, part) in enumerate(left):
        last = replace(
            node, name=f"{node.name}.rest{number}", kind=kind, inputs=(name,), module=part
        )
        remainder.append(last)
        name = last.name
    return edge, first, tuple(remainder)


def _pool(node: Node, edge: int) -> tuple[Kind, nn.Module]:
    return node.kind, nn.AvgPool2d(edge) if node.kind is Kind.AVG_POOL else sl.SumPool2d(edge)


def _tiles(node: Node) -> bool:
    """Whether a node pools square tiles without overlap, padding or a rest at the edge."""
    module: Any = node.module
    if not isinstance(module, nn.AvgPool2d | sl.SumPool2d):
        return False
    size = pair(module.kernel_size)
    stride = size if module.stride is None else pair(module.stride)
    plain = size[0] == size[1] and stride == size and getattr(module, "norm_type", 1) == 1
    return plain and not any(pair(getattr(module, "padding", 0)))
