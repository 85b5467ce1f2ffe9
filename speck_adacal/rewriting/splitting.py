"""Layers that are too large for any core, shared out between two.

The halves have half of the output channels each, read the same spikes, and send to the next core as
channels side by side: the same network, on a core more. A layer can be shared out where a core's
destinations allow it: what it reads may send to few cores, and so may what the readout needs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from torch import nn

from speck_adacal.ann.edits import put_in_place
from speck_adacal.ann.graph import Kind, LayerGraph, Node
from speck_adacal.ann.modules import Concat, EdgedConv2d
from speck_adacal.chip_description import ChipDescription, core_memory_use
from speck_adacal.rewriting.new_weights import layer_like

_WEIGHTED = (Kind.CONV, Kind.LINEAR)
_PASSING = (Kind.AVG_POOL, Kind.SUM_POOL, Kind.FLATTEN)


def split_large_layers(graph: LayerGraph, description: ChipDescription) -> LayerGraph:
    """Share out every layer that fits no core, and would in halves.

    Args:
        graph: a network whose layers a chip can do otherwise.
        description: of the chip.

    Returns:
        A graph of the same function; layers that cannot be shared out stay.
    """
    for node in graph.of_kind(*_WEIGHTED):
        readers = graph.consumers(node.name)
        neurons = readers[0] if len(readers) == 1 else node
        splits = (
            neurons.kind is Kind.ACTIVATION
            and node.shape[0] > 1
            and not isinstance(node.module, EdgedConv2d)
            and getattr(node.module, "groups", 1) == 1
            and neurons.name not in graph.outputs
            and not _fits(graph, node, node.shape[0], description)
            and _fits(graph, node, -(-node.shape[0] // 2), description)
            and _spare_destinations(graph, node, description) > 0
        )
        if splits:
            graph = _split(graph, node, neurons)
    return graph


def _fits(graph: LayerGraph, node: Node, channels: int, description: ChipDescription) -> bool:
    """Whether some core holds the layer with so many output channels."""
    inputs, kernel, size = _geometry(graph, node)
    need = core_memory_use(inputs, (channels, *size), kernel)
    return any(
        need.kernel <= core.kernel and need.neuron <= core.neuron for core in description.cores
    )


def _geometry(graph: LayerGraph, node: Node) -> tuple[int, tuple[int, int], tuple[int, int]]:
    """Input channels, kernel and neuron map of a layer as a core has it."""
    module: Any = node.module
    if isinstance(module, nn.Conv2d):
        return module.in_channels, module.kernel_size, (node.shape[1], node.shape[2])  # type: ignore[return-value]
    before = graph[node.inputs[0]]
    while before.kind is Kind.FLATTEN:
        before = graph[before.inputs[0]]
    channels, height, width = (*before.shape, 1, 1)[:3]
    return channels, (height, width), (1, 1)


def _spare_destinations(graph: LayerGraph, node: Node, description: ChipDescription) -> int:
    """How many cores more the sources of a layer may send to; none of the network's input."""
    spare = description.limits.fan_out
    for source in _sources(graph, graph[node.inputs[0]]):
        if source.kind is Kind.INPUT:
            return 0
        readers = sum(1 for _ in _readers(graph, source))
        spare = min(spare, description.limits.fan_out - readers)
    return spare


def _sources(graph: LayerGraph, node: Node) -> Iterator[Node]:
    if node.kind in (*_PASSING, Kind.ADD, Kind.CONCAT):
        for name in node.inputs:
            yield from _sources(graph, graph[name])
    else:
        yield node


def _readers(graph: LayerGraph, node: Node) -> Iterator[Node]:
    for reader in graph.consumers(node.name):
        if reader.kind in _WEIGHTED:
            yield reader
        else:
            yield from _readers(graph, reader)


def _split(graph: LayerGraph, node: Node, neurons: Node) -> LayerGraph:
    channels = node.shape[0]
    parts = [part.tolist() for part in np.array_split(np.arange(channels), 2)]
    layers, spiking = [], []
    for number, part in enumerate(parts, start=1):
        shape = (len(part), *node.shape[1:])
        name, fires = f"{node.name}.part{number}", f"{neurons.name}.part{number}"
        layers.append(replace(node, name=name, module=_some(node.module, part), shape=shape))
        relay = neurons.relay if number == len(parts) else 0.0
        spiking.append(replace(neurons, name=fires, inputs=(name,), shape=shape, relay=relay))
    joined = Node(
        neurons.name, Kind.CONCAT, tuple(n.name for n in spiking), Concat(), neurons.shape
    )
    graph = put_in_place(graph, neurons.name, (*layers, *spiking, joined))
    return put_in_place(graph, node.name, ()) if node.name in graph.names else graph


def _some(module: Any, channels: list[int]) -> nn.Module:
    """A layer with some of its output channels."""
    weight = module.weight.detach()[channels]
    bias = None if module.bias is None else module.bias.detach()[channels]
    return layer_like(module, weight, bias)
