"""Rectifiers directly behind the layers with weights, where neurons stand on the chip."""

from __future__ import annotations

from dataclasses import replace

from speck_adacal.ann.edits import renamed_inputs
from speck_adacal.ann.graph import Kind, LayerGraph, Node

# What gives the same before and behind a rectifier: each value out is one value in, or zero, or
# the largest of some.
_COMMUTING = (Kind.FLATTEN, Kind.PAD, Kind.MAX_POOL)


def rectifiers_first(graph: LayerGraph) -> LayerGraph:
    """Swap rectifiers with flattening, zero padding and max pooling that stand before them.

    `relu(max_pool(conv(x)))` becomes `max_pool(relu(conv(x)))`, the same values: a core is a
    convolution and its neurons.
    """
    for name in [node.name for node in graph.of_kind(Kind.ACTIVATION)]:
        while _swaps(graph, graph[name]):
            graph = _swapped(graph, graph[graph[name].inputs[0]], graph[name])
    return graph


def _swaps(graph: LayerGraph, rectifier: Node) -> bool:
    before = graph[rectifier.inputs[0]]
    alone = len(graph.consumers(before.name)) == 1 and before.name not in graph.outputs
    return before.kind in _COMMUTING and alone and _fed_by_weights(graph, before)


def _fed_by_weights(graph: LayerGraph, node: Node) -> bool:
    while node.kind in _COMMUTING:
        node = graph[node.inputs[0]]
    return node.kind in (Kind.CONV, Kind.LINEAR)


def _swapped(graph: LayerGraph, before: Node, rectifier: Node) -> LayerGraph:
    first = replace(rectifier, inputs=before.inputs, shape=graph[before.inputs[0]].shape)
    second = replace(before, inputs=(rectifier.name,))
    graph = renamed_inputs(graph, {rectifier.name: before.name})
    nodes = tuple(
        {before.name: first, rectifier.name: second}.get(node.name, node) for node in graph.nodes
    )
    return LayerGraph(nodes, graph.outputs, graph.input_shape)
