"""Linear maps between neurons (pools, padding, normalisation) become part of the layers with
weights next to them, exactly: a core of the chip is one convolution and its neurons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import nn

from speck_adacal.ann.edits import free_name, put_in_place, renamed_inputs
from speck_adacal.ann.graph import Kind, LayerGraph, Node
from speck_adacal.ann.rewriting.core_convolution import within_core
from speck_adacal.ann.rewriting.merging import as_convolution, as_linear
from speck_adacal.ann.rewriting.pools import split_pools
from speck_adacal.ann.rewriting.rectifiers import rectifiers_first
from speck_adacal.chip_description import ChipLimits, load_chip_description

_MAPS = (Kind.AVG_POOL, Kind.SUM_POOL, Kind.PAD, Kind.SUBSAMPLE, Kind.SCALE, Kind.FLATTEN)
_WEIGHTED = (Kind.CONV, Kind.LINEAR)


def merge_linear_maps(graph: LayerGraph, limits: ChipLimits | None = None) -> LayerGraph:
    """Merge what is linear between neurons into the convolutions and linear layers beside it.

    Pools of any size, stride and divisor, zero padding, strided slices, scales, dilated
    convolutions, kernels that are not square and layers without a rectifier between them become
    one convolution each that a core can do (kernel, stride and padding within `limits`), or one
    linear layer. Pooling directly behind neurons that the core does by itself stays as it is. What
    cannot be merged exactly stays too.

    Args:
        graph: a traced network.
        limits: of a core; speck2f's where none are given.

    Returns:
        A graph with the same outputs on every input, to float tolerance. Layers with weights that
        stay, and rectifiers, keep their names.
    """
    limits = limits or load_chip_description("speck2f").limits
    graph = rectifiers_first(graph)
    for node in graph.of_kind(*_MAPS):
        graph = _into_the_one_before(graph, graph[node.name], limits)
    for node in graph.of_kind(*_WEIGHTED):
        if node.name in graph.names:
            graph = _into_the_one_behind(graph, graph[node.name], limits)
    for name in graph.outputs:
        if graph[name].kind in _MAPS:
            graph = _into_the_one_behind(graph, graph[name], limits)
    return graph


def _into_the_one_before(graph: LayerGraph, node: Node, limits: ChipLimits) -> LayerGraph:
    """A map whose input is a convolution that only it reads goes into that."""
    before = graph[node.inputs[0]]
    alone = len(graph.consumers(before.name)) == 1 and before.name not in graph.outputs
    if before.kind is not Kind.CONV or node.kind is Kind.FLATTEN or not alone:
        return graph
    merged = as_convolution(graph[before.inputs[0]].shape, (before, node), limits)
    if merged is None:
        return graph
    new = replace(before, module=merged, shape=node.shape)
    graph = put_in_place(graph, before.name, (new,))
    return put_in_place(renamed_inputs(graph, {node.name: new.name}), node.name, ())


def _into_the_one_behind(graph: LayerGraph, node: Node, limits: ChipLimits) -> LayerGraph:
    """The maps that feed a layer with weights (or an output) go into it, as many as can."""
    source, path = _path_to(graph, node)
    kept, rest = split_pools(graph, source, path, limits)
    for start in range(len(rest) + 1):
        left = (*kept, *rest[:start])
        before = left[-1].shape if left else source.shape
        work = _has_work(rest[start:], node, limits) or (bool(kept) and node.kind in _MAPS)
        if work and (new := _merged(before, rest[start:], node, limits)):
            return _linked(graph, source, (*left, *new), node)
    return graph


def _path_to(graph: LayerGraph, node: Node) -> tuple[Node, tuple[Node, ...]]:
    """What a node reads through linear operations, and these, in order."""
    path: list[Node] = []
    source = graph[node.inputs[0]]
    while source.kind in (*_MAPS, *_WEIGHTED):
        path.insert(0, source)
        source = graph[source.inputs[0]]
    return source, tuple(path)


def _merged(
    before: tuple[int, ...], path: Sequence[Node], node: Node, limits: ChipLimits
) -> tuple[Node, ...]:
    """`path` and `node` as one layer with weights, perhaps behind a flattening; empty if none."""
    if node.kind is Kind.CONV:
        convolution = as_convolution(before, (*path, node), limits)
        return () if convolution is None else (replace(node, module=convolution),)
    linear = as_linear(before, (*path, node), limits)
    if linear is None:
        return ()
    layer = replace(node, kind=Kind.LINEAR, module=linear)
    if len(before) == 1:
        return (layer,)
    flat = Node(f"{node.name}.flatten", Kind.FLATTEN, (), nn.Flatten(), (linear.in_features,))
    return flat, layer


def _has_work(path: Sequence[Node], node: Node, limits: ChipLimits) -> bool:
    """Whether there is anything to merge: flattening, and what a core does, stay as they are."""
    if any(other.kind is not Kind.FLATTEN for other in path):
        return True
    if isinstance(node.module, nn.Conv2d):
        return not within_core(node.module, limits)
    return node.kind not in (*_WEIGHTED, Kind.FLATTEN)


def _linked(graph: LayerGraph, source: Node, row: Sequence[Node], node: Node) -> LayerGraph:
    """The graph with `row`, from `source` on, in the place of `node`; its last has node's name."""
    new: list[Node] = []
    reads = source.name
    for number, part in enumerate(row):
        if part.name in graph.names and graph[part.name] is part and part.inputs == (reads,):
            reads = part.name  # stands in the graph already
            continue
        last = number == len(row) - 1
        name = node.name if last else free_name(graph, part.name)
        new.append(replace(part, name=name, inputs=(reads,)))
        reads = name
    return put_in_place(graph, node.name, new)
