"""Sums before a rectifier, as residual blocks have them, as one convolution on all that they read.

`relu(x + conv(y))` is one current: a core takes the spikes of both x and y, as channels side by
side, with the kernel of the convolution for y and an identity for x (or the projection of a
shortcut). Where a shortcut also strides, the convolution that strides on the other way carries it
along in channels of its own, or else a layer of its own does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from speck_adacal.ann.edits import free_name, put_in_place
from speck_adacal.ann.graph import Kind, LayerGraph, Node
from speck_adacal.ann.modules import Concat, Pad, Rectifier
from speck_adacal.ann.rewriting.core_convolution import core_convolution
from speck_adacal.ann.rewriting.strided import StridedMap, strided_map
from speck_adacal.chip_description import ChipLimits
from speck_adacal.rewriting.new_weights import convolution_like, dense_weight

_POOLS = (Kind.AVG_POOL, Kind.SUM_POOL, Kind.MAX_POOL)  # none makes a value negative


@dataclass(frozen=True, eq=False)
class _Term:
    """What one node, of values that are never negative, adds to the sum."""

    source: str
    map: StridedMap


def merge_sums(graph: LayerGraph, limits: ChipLimits) -> LayerGraph:
    """Make one convolution of every sum of values that were not all rectified.

    Args:
        graph: a traced network.
        limits: of a core.

    Returns:
        A graph of the same function; sums that have no such form stay.
    """
    for node in graph.of_kind(Kind.ADD):
        if node.name in graph.names and not _is_inner(graph, node):
            graph = _merged(graph, graph[node.name], limits)
    return graph


def _is_inner(graph: LayerGraph, node: Node) -> bool:
    """A sum whose readers take it as it is: another sum, or nothing that rectifies."""
    readers = graph.consumers(node.name)
    rectified = all(reader.kind is Kind.ACTIVATION for reader in readers)
    return not (rectified and (readers or node.name in graph.outputs))


def _merged(graph: LayerGraph, node: Node, limits: ChipLimits) -> LayerGraph:
    if all(_is_spiking(graph, graph[name]) for name in node.inputs) or len(node.shape) != 3:
        return graph
    found = [term for name in node.inputs for term in (_terms(graph, name) or (None,))]
    terms = [term for term in found if term is not None]
    if len(terms) != len(found):
        return graph
    for term in terms:
        graph, terms = _carried(graph, node, term, terms)
    joined = _joined(graph, terms)
    if joined is None:
        return graph
    sources, whole = joined
    height, width = graph[sources[0]].shape[1:]
    in_shape = (whole.weight.shape[1], height, width)
    module = core_convolution(whole, in_shape, node.shape, limits)
    if module is None:
        return graph
    return _placed(graph, node, sources, in_shape, module.float().eval().requires_grad_(False))


def _is_spiking(graph: LayerGraph, node: Node) -> bool:
    """Whether spikes can stand for the values of a node: rectified, or sums and pools of such."""
    if node.kind in (Kind.ACTIVATION, Kind.INPUT):
        return True
    if node.kind in (*_POOLS, Kind.ADD):
        return all(_is_spiking(graph, graph[name]) for name in node.inputs)
    return False


def _terms(graph: LayerGraph, name: str) -> tuple[_Term, ...] | None:
    """The terms of a value; None where a part of it is no linear map of rectified values."""
    node = graph[name]
    if _is_spiking(graph, node):
        return (_Term(name, _identity(node.shape[0])),) if len(node.shape) == 3 else None
    if node.kind is Kind.ADD:
        parts = [_terms(graph, source) for source in node.inputs]
        if any(part is None for part in parts):
            return None
        return tuple(term for part in parts for term in part or ())
    before = graph[node.inputs[0]]
    step = _channel_padding(node) or strided_map(node, before.shape)
    behind = None if step is None else _terms(graph, before.name)
    if step is None or behind is None:
        return None
    first, *others = (_Term(term.source, term.map.then(step)) for term in behind)
    # Each term got the step's bias: only one may keep it.
    plain = [term.map.then(replace(step, bias=torch.zeros_like(step.bias))) for term in behind[1:]]
    return (first, *(replace(t, map=m) for t, m in zip(others, plain, strict=True)))


def _identity(channels: int) -> StridedMap:
    eye = torch.eye(channels, dtype=torch.float64)[:, :, None, None]
    zero = torch.zeros(channels, dtype=torch.float64)
    return StridedMap(eye, zero, (1, 1), (0, 0), False)


def _channel_padding(node: Node) -> StridedMap | None:
    """Zero channels around a map, as shortcuts without weights have them."""
    if not isinstance(node.module, Pad):
        return None
    padding = node.module.padding
    if len(padding) != 6 or any(padding[:4]):
        return None
    before, after = padding[4:]
    channels = node.shape[0] - before - after
    weight = torch.zeros((node.shape[0], channels, 1, 1), dtype=torch.float64)
    weight[before : before + channels, :, 0, 0] = torch.eye(channels, dtype=torch.float64)
    zero = torch.zeros(node.shape[0], dtype=torch.float64)
    return StridedMap(weight, zero, (1, 1), (0, 0), False)


def _carried(
    graph: LayerGraph, node: Node, term: _Term, terms: list[_Term]
) -> tuple[LayerGraph, list[_Term]]:
    """Bring a term that strides from a larger map to the map that the others read."""
    strides = {other.map.stride for other in terms}
    weight = term.map.dense
    single = weight.shape[2:] == (1, 1) and not any(term.map.before)
    if len(strides) == 1 or (1, 1) not in strides or term.map.stride == (1, 1) or not single:
        return graph, terms
    here = [other for other in terms if other is not term]
    still = StridedMap(weight, term.map.bias, (1, 1), (0, 0), False)
    for index, other in enumerate(here):
        extended = _extended(graph, other, term) if other.map.stride == (1, 1) else None
        if extended is not None:
            both = torch.cat((_padded(other.map.dense, still), _padded(still.weight, other.map)), 1)
            bias = other.map.bias + still.bias
            whole = StridedMap(both, bias, (1, 1), other.map.before, False)
            here[index] = _Term(other.source, whole)
            return extended, here
    graph, name = _own_layer(graph, node, term)
    return graph, [*here, _Term(name, still)]


def _padded(weight: torch.Tensor, other: StridedMap) -> torch.Tensor:
    """A weight in a kernel as large as another map's, where that has its middle tap."""
    height, width = other.weight.shape[2:]
    if weight.shape[2:] == (height, width):
        return weight
    if weight.shape[2:] != (1, 1):
        return weight
    wide = weight.new_zeros((*weight.shape[:2], height, width))
    wide[:, :, other.before[0], other.before[1]] = weight[:, :, 0, 0]
    return wide


def _extended(graph: LayerGraph, other: _Term, term: _Term) -> LayerGraph | None:
    """The layer that strides on the other way, with channels that carry the shortcut's source."""
    neurons = graph[other.source]
    conv = graph[neurons.inputs[0]] if neurons.inputs else neurons
    module: Any = conv.module
    carries = (
        neurons.kind is Kind.ACTIVATION
        and conv.kind is Kind.CONV
        and conv.inputs == (term.source,)
        and getattr(neurons.module, "upper", None) is None
        and len(graph.consumers(conv.name)) == 1
        and len(graph.consumers(neurons.name)) == 1
        and tuple(module.stride) == term.map.stride
        and set(module.dilation) == {1}
        and all(p < k for p, k in zip(module.padding, module.kernel_size, strict=True))
        and all(b < k for b, k in zip(other.map.before, other.map.weight.shape[2:], strict=True))
    )
    if not carries:
        return None
    weight = dense_weight(module)
    channels = weight.shape[1]
    along = weight.new_zeros((channels, *weight.shape[1:]))
    along[:, :, module.padding[0], module.padding[1]] = torch.eye(channels, dtype=weight.dtype)
    bias = module.bias
    if bias is not None:
        bias = torch.cat((bias, bias.new_zeros(channels)))
    wider = convolution_like(module, torch.cat((weight, along)), bias)
    shape = (conv.shape[0] + channels, *conv.shape[1:])
    graph = put_in_place(graph, conv.name, (replace(conv, module=wider, shape=shape),))
    return put_in_place(graph, neurons.name, (replace(neurons, shape=shape),))


def _own_layer(graph: LayerGraph, node: Node, term: _Term) -> tuple[LayerGraph, str]:
    """A layer that passes on every n-th value of a shortcut's source."""
    channels = term.map.dense.shape[1]
    conv = nn.Conv2d(channels, channels, 1, term.map.stride, bias=False)
    conv.weight = nn.Parameter(torch.eye(channels)[:, :, None, None], requires_grad=False)
    name = free_name(graph, f"{node.name}.shortcut")
    rectified = f"{name}.relu"
    shape = (channels, *node.shape[1:])
    new = (
        Node(name, Kind.CONV, (term.source,), conv.eval(), shape, node.source),
        Node(rectified, Kind.ACTIVATION, (name,), Rectifier(), shape, node.source),
        node,
    )
    # Kept by the sum until that reads it by itself.
    nodes = [part for old in graph.nodes for part in (new if old.name == node.name else (old,))]
    return replace(graph, nodes=tuple(nodes)), rectified


def _joined(graph: LayerGraph, terms: Sequence[_Term]) -> tuple[tuple[str, ...], StridedMap] | None:
    """All terms as one map of their sources side by side; None where these differ in size."""
    sources = tuple(dict.fromkeys(term.source for term in terms))
    sizes = {graph[name].shape[1:] for name in sources}
    if len(sizes) > 1 or len({term.map.stride for term in terms}) > 1:
        return None
    before = tuple(max(term.map.before[axis] for term in terms) for axis in (0, 1))
    taps = tuple(
        max(
            before[axis] - term.map.before[axis] + term.map.weight.shape[2 + axis] for term in terms
        )
        for axis in (0, 1)
    )
    parts: dict[str, torch.Tensor] = {}
    for term in terms:
        dense = term.map.dense
        part = parts.setdefault(term.source, dense.new_zeros((*dense.shape[:2], *taps)))
        y, x = (before[axis] - term.map.before[axis] for axis in (0, 1))
        part[:, :, y : y + dense.shape[2], x : x + dense.shape[3]] += dense
    bias = torch.stack([term.map.bias for term in terms]).sum(0)
    weight = torch.cat([parts[name] for name in sources], 1)
    return sources, StridedMap(weight, bias, terms[0].map.stride, (before[0], before[1]), False)


def _placed(
    graph: LayerGraph,
    node: Node,
    sources: tuple[str, ...],
    in_shape: tuple[int, ...],
    module: nn.Module,
) -> LayerGraph:
    reads = sources[0]
    new: list[Node] = []
    if len(sources) > 1:
        reads = free_name(graph, f"{node.name}.inputs")
        new.append(Node(reads, Kind.CONCAT, sources, Concat(), in_shape, node.source))
    new.append(replace(node, kind=Kind.CONV, inputs=(reads,), module=module))
    return put_in_place(graph, node.name, new)
