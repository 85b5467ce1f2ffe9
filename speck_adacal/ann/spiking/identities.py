"""Neurons without a layer of weights before them, as a core needs one: an identity in between."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from speck_adacal.ann.graph import Kind, LayerGraph, Node

_WEIGHTED = (Kind.CONV, Kind.LINEAR)


def with_identities(graph: LayerGraph) -> LayerGraph:
    """The graph with an identity of weight 1 before neurons that spikes reach without weights.

    Several neurons in a row, neurons behind a pool or an addition, and neurons at the input stay
    what they are: each spike is one of weight 1 to them.
    """
    nodes: list[Node] = []
    for node in graph.nodes:
        if node.kind is Kind.ACTIVATION and _brings_spikes(graph, graph[node.inputs[0]]):
            name = f"{node.name}.identity"
            module = _identity(node.shape)
            nodes.append(Node(name, _kind(node.shape), node.inputs, module, node.shape))
            node = Node(node.name, node.kind, (name,), node.module, node.shape, node.source)
        nodes.append(node)
    return LayerGraph(tuple(nodes), graph.outputs, graph.input_shape)


def _brings_spikes(graph: LayerGraph, node: Node) -> bool:
    if node.kind in (Kind.ACTIVATION, Kind.INPUT):
        return True
    if node.kind in _WEIGHTED or node.kind is Kind.SCALE:
        return False
    return all(_brings_spikes(graph, graph[name]) for name in node.inputs)


def _kind(shape: tuple[int, ...]) -> Kind:
    return Kind.CONV if len(shape) > 1 else Kind.LINEAR


def _identity(shape: tuple[int, ...]) -> nn.Module:
    channels = shape[0]
    module: Any
    if len(shape) == 1:
        module = nn.Linear(channels, channels, bias=False)
        weight = torch.eye(channels)
    else:
        module = nn.Conv2d(channels, channels, 1, bias=False)
        weight = torch.eye(channels)[:, :, None, None]
    module.weight = nn.Parameter(weight, requires_grad=False)
    found: nn.Module = module.eval()
    return found
