"""One name for a layer wherever people read it: that of the operation with its weights."""

from __future__ import annotations

from speck_adacal.ann.graph import Kind, LayerGraph, Node
from speck_adacal.recipe.recipe import Recipe

_WEIGHTS = (Kind.CONV, Kind.LINEAR)


def layer_names(graph: LayerGraph, recipe: Recipe) -> dict[str, str]:
    """The name to show of every layer of the recipe, which is named by its neurons.

    Neurons behind an addition have the weights of all branches; they are named by all of them.
    """
    return {row.name: " + ".join(_weights(graph, graph[row.name])) for row in recipe.layers}


def _weights(graph: LayerGraph, node: Node) -> list[str]:
    """The operations with weights whose sum the node's values are; itself where there is none."""
    if node.kind in _WEIGHTS:
        return [node.name]
    found: list[str] = []
    for name in node.inputs:
        before = graph[name]
        if before.kind in _WEIGHTS:
            found.append(name)
        elif before.kind in (Kind.ADD, Kind.CONCAT, Kind.SCALE, Kind.PAD):
            found += _weights(graph, before)
    return found or [node.name]
