"""Neurons with a sign: where values that are no spikes would meet weights or one another."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from speck_adacal.ann.edits import free_name
from speck_adacal.ann.functions import Attention, MatrixProduct, Product
from speck_adacal.ann.graph import SPIKING, WEIGHTED, Kind, LayerGraph, Node

_MEETING = (Product, MatrixProduct, Attention)
_CHANGING = (Kind.FUNCTION, Kind.SCALE, Kind.AFFINE)  # what gives no spikes of spikes


class Signed(nn.Module):
    """The value itself; in time steps neurons that fire spikes of both signs."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`x`."""
        return x


def with_signed_neurons(graph: LayerGraph) -> LayerGraph:
    """The graph with neurons with a sign behind functions, and before products of two values.

    Behind a function there are no spikes, so that a layer with weights would multiply at every
    step; and what meets in a product of two values is to be spikes too. A value that is spikes
    already, moved or added up, gets no neurons, and neither does the network's input. A graph
    without functions stays as it is.
    """
    if not graph.of_kind(Kind.FUNCTION):
        return graph
    nodes: list[Node] = []
    spikes, behind = {graph.nodes[0].name}, set[str]()  # behind: made of a function's values
    turned: dict[str, str] = {}
    for node in graph.nodes:
        inputs = list(node.inputs)
        meets = node.kind is Kind.FUNCTION and isinstance(node.module, _MEETING)
        for at, name in enumerate(inputs):
            wanted = meets or (node.kind in WEIGHTED and name in behind)
            if not wanted or name in spikes:
                continue
            if name not in turned:
                turned[name] = free_name(graph, f"{name}.spikes")
                nodes.append(_neurons(turned[name], graph[name]))
            inputs[at] = turned[name]
        nodes.append(replace(node, inputs=tuple(inputs)))
        passes = node.kind not in (*WEIGHTED, *_CHANGING) and bool(inputs)
        if node.kind in SPIKING or (passes and all(name in spikes for name in inputs)):
            spikes.add(node.name)
        goes_on = node.kind not in (*SPIKING, *WEIGHTED)
        if node.kind is Kind.FUNCTION or (goes_on and any(name in behind for name in inputs)):
            behind.add(node.name)
    return replace(graph, nodes=tuple(nodes))


def _neurons(name: str, source: Node) -> Node:
    return Node(
        name,
        Kind.SIGNED,
        (source.name,),
        Signed(),
        source.shape,
        source.source,
        channel_axis=source.channel_axis,
    )
