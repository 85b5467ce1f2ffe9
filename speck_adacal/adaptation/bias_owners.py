"""Which layer's bias alone adds to what a node reads."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from speck_adacal.ann.graph import WEIGHTED, Kind, LayerGraph, Node
from speck_adacal.ann.routing import Resample

_CHANNEL_KEEPING = (Kind.ADD, Kind.AVG_POOL, Kind.MAX_POOL)


def bias_owner(graph: LayerGraph, node: Node) -> Node | None:
    """The first layer with weights that only `node` reads, through channel-keeping nodes."""
    for name in node.inputs:
        source = graph[name]
        if len(graph.consumers(name)) != 1 or name in graph.outputs:
            continue
        if source.kind in WEIGHTED:
            return source if source.channel_axis == node.channel_axis else None
        if isinstance(source.module, Resample) or (
            source.kind in _CHANNEL_KEEPING and not _padded_average(source)
        ):
            found = bias_owner(graph, source)
            if found is not None:
                return found
    return None


def _padded_average(node: Node) -> bool:
    padding = getattr(node.module, "padding", 0) if node.kind is Kind.AVG_POOL else 0
    odd = getattr(node.module, "divisor_override", None) is not None
    return odd or (any(padding) if isinstance(padding, tuple) else bool(padding))


def add_to_bias(module: Any, change: torch.Tensor) -> None:
    """`bias += change`; a layer without a bias gets one."""
    old = getattr(module, "bias", None)
    bias = change if old is None else old + change
    module.bias = nn.Parameter(bias.detach().clone(), requires_grad=False)
