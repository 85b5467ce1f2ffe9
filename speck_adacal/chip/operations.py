"""Operations that no core can do, all of them at once, each with what to use instead."""

from __future__ import annotations

from torch import nn

from speck_adacal.ann.graph import Kind, LayerGraph, Node
from speck_adacal.chip.branches import is_idle
from speck_adacal.chip.fold import REPLACEMENTS
from speck_adacal.rules.shapes import LayerShape, Violation


def unsupported_operations(graph: LayerGraph) -> tuple[Violation, ...]:
    """A violation for every node that has no counterpart on the chip."""
    return tuple(
        Violation(
            "operation",
            node.name,
            f"a {node.kind.value} operation" + (f" ({node.source})" if node.source else ""),
            "convolutions, ReLUs, average and sum pooling, linear layers, additions",
            REPLACEMENTS[node.kind],
        )
        for node in graph.nodes
        if node.kind in REPLACEMENTS and not _belongs_to_a_core(graph, node)
    )


def _belongs_to_a_core(graph: LayerGraph, node: Node) -> bool:
    """An activation behind a layer with weights, or one that has nothing to cut off."""
    if node.kind is not Kind.ACTIVATION:
        return False
    return is_idle(graph, node) or graph[node.inputs[0]].kind in (Kind.CONV, Kind.LINEAR)


def convolution_shapes(graph: LayerGraph) -> tuple[LayerShape, ...]:
    """The convolutions as they stand in the model, pooling left out, for a network that cannot be
    folded as a whole."""
    found = []
    for node in graph.of_kind(Kind.CONV):
        module, before = node.module, graph[node.inputs[0]].shape
        if not isinstance(module, nn.Conv2d) or len(before) != 3 or len(node.shape) != 3:
            continue
        (ky, kx), (sy, sx) = module.kernel_size, module.stride
        py, px = (0, 0) if isinstance(module.padding, str) else module.padding
        channels, height, width = before
        out_channels, out_height, out_width = node.shape
        found.append(
            LayerShape(
                node.name,
                (channels, height, width),
                (out_channels, out_height, out_width),
                (ky, kx),
                (sy, sx),
                (py, px),
                1,
            )
        )
    return tuple(found)
