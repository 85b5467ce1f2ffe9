"""Small changes of a layer graph, each giving a new one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from speck_adacal.ann.graph import LayerGraph, Node


def without_dead_code(graph: LayerGraph) -> LayerGraph:
    """The graph without nodes that no output depends on; the input stays."""
    used = set(graph.outputs)
    for node in reversed(graph.nodes):
        if node.name in used:
            used.update(node.inputs)
    nodes = tuple(n for i, n in enumerate(graph.nodes) if i == 0 or n.name in used)
    return LayerGraph(nodes, graph.outputs, graph.input_shape)


def put_in_place(graph: LayerGraph, name: str, new: Iterable[Node]) -> LayerGraph:
    """The graph with `new` nodes where node `name` was; what nothing reads any more is left out.

    The last of `new` must have the name that the readers of `name` know.
    """
    nodes: list[Node] = []
    for node in graph.nodes:
        nodes.extend(new if node.name == name else (node,))
    return without_dead_code(LayerGraph(tuple(nodes), graph.outputs, graph.input_shape))


def renamed_inputs(graph: LayerGraph, names: Mapping[str, str]) -> LayerGraph:
    """The graph with readers (and outputs) of one node reading another, by name."""
    nodes = tuple(
        replace(node, inputs=tuple(names.get(name, name) for name in node.inputs))
        for node in graph.nodes
    )
    outputs = tuple(names.get(name, name) for name in graph.outputs)
    return LayerGraph(nodes, outputs, graph.input_shape)


def free_name(graph: LayerGraph, base: str) -> str:
    """`base`, with a number behind it where a node has that name already."""
    name, count = base, 1
    while name in graph.names:
        count += 1
        name = f"{base}#{count}"
    return name
