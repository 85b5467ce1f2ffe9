"""Biases carried by events: a constant channel that the input sends and layers relay.

The rewritten network computes the same as the network given, on an input with one channel more, and
its convolutions have no biases. A bias stands, divided by what the constant is worth, under as many
taps as get the same number of events for every output; the constant is relayed by a channel of its
own through every layer behind which a bias still needs it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from speck_adacal.ann.graph import Kind, LayerGraph, Node
from speck_adacal.events.constant import ConstantChannel
from speck_adacal.rewriting.carriers import Carriers, find_carriers
from speck_adacal.rewriting.new_weights import convolution_like, dense_weight, layer_like

Ints = npt.NDArray[np.int64]
_ADDED = -1  # in a layout: a channel that the rewriting added


@dataclass(frozen=True, eq=False)
class BiasEvents:
    """A network without biases in its convolutions.

    Attributes:
        graph: takes one channel more than the network it was made from.
        constant: what that channel sends.
        carried: names of the layers whose biases became events.
        relays: names of the activations that relay the constant.
    """

    graph: LayerGraph
    constant: ConstantChannel
    carried: tuple[str, ...]
    relays: tuple[str, ...]


def carry_biases(
    graph: LayerGraph, *, rate: int, amplitude: float, most: int | None = None
) -> BiasEvents | None:
    """Rewrite a network so that events carry the biases of its convolutions.

    A layer whose kernel covers the whole map (a linear layer) keeps its bias: it has so many
    inputs that a bias as initial potential does no harm.

    Args:
        graph: the network; never changed.
        rate: events of each place of the constant channel in a time step.
        amplitude: what one input event is worth.
        most: carry the biases of so many layers only, the first ones.

    Returns:
        None where there is no bias to carry, or no way for the constant.
    """
    carriers = find_carriers(graph, most)
    if carriers is None:
        return None
    rewriter = _Rewriter(graph, carriers, rate * amplitude)
    nodes = tuple(rewriter.node(node) for node in graph.nodes)
    if not _sums_agree(nodes):  # a branch has the constant's channel, and one that it meets has not
        fewer = len(carriers.biased) - 1
        return carry_biases(graph, rate=rate, amplitude=amplitude, most=fewer) if fewer else None
    return BiasEvents(
        graph=LayerGraph(nodes, graph.outputs, nodes[0].shape),
        constant=ConstantChannel(carriers.rows.places, carriers.columns.places, rate),
        carried=carriers.biased,
        relays=tuple(node.name for node in nodes if node.relay),
    )


def _sums_agree(nodes: tuple[Node, ...]) -> bool:
    """Whether all that meets at an addition has the same channels."""
    shapes = {node.name: node.shape for node in nodes}
    sums = (node for node in nodes if node.kind is Kind.ADD)
    return all(len({shapes[name] for name in node.inputs}) == 1 for node in sums)


class _Rewriter:
    """Rebuilds the nodes in order, each knowing where the channels of its inputs went."""

    def __init__(self, graph: LayerGraph, carriers: Carriers, value: float) -> None:
        self._graph, self._carriers, self._value = graph, carriers, value
        # By node: the channel of the network given that stands at each place, and what one count
        # of the constant is worth.
        self._layout: dict[str, Ints] = {}
        self._unit: dict[str, float] = {}

    def node(self, node: Node) -> Node:
        """The node of the rewritten network."""
        if node.kind is Kind.INPUT:
            self._unit[node.name] = self._value
            layout = np.append(np.arange(node.shape[0]), _ADDED)
            return self._kept(node, layout)
        if node.kind is Kind.CONV:
            return self._convolution(node)
        if node.kind is Kind.LINEAR:
            self._layout[node.name] = np.arange(node.shape[0])
            return replace(node, module=self._linear(node))
        if node.kind is Kind.CONCAT:
            return self._concatenation(node)
        source = node.inputs[0]
        layout = self._layout[source]
        if node.kind is Kind.FLATTEN:
            size = int(np.prod(self._graph[source].shape[1:]))
            spread = layout[:, None] * size + np.arange(size)
            layout = np.where(layout[:, None] == _ADDED, _ADDED, spread).ravel()
            self._layout[node.name] = layout
            return replace(node, shape=(len(layout),))
        if node.name in self._carriers.live:
            unit = self._unit[self._carriers.live[node.name]]
            self._unit[node.name] = unit / _averaged(node)
        relay = self._relay_threshold(node) if node.kind is Kind.ACTIVATION else 0.0
        return self._kept(replace(node, relay=relay), layout)

    def _kept(self, node: Node, layout: Ints) -> Node:
        self._layout[node.name] = layout
        return replace(node, shape=(len(layout), *node.shape[1:]))

    def _concatenation(self, node: Node) -> Node:
        parts, offset = [], 0
        for name in node.inputs:
            layout = self._layout[name]
            parts.append(np.where(layout == _ADDED, _ADDED, layout + offset))
            offset += self._graph[name].shape[0]
        if node.name in self._carriers.live:
            self._unit[node.name] = self._unit[self._carriers.live[node.name]]
        return self._kept(node, np.concatenate(parts))

    def _convolution(self, node: Node) -> Node:
        carriers = self._carriers
        module: Any = node.module
        layout = self._layout[node.inputs[0]]
        relays = node.name in carriers.live
        added = relays or node.name in carriers.silent
        if not added and node.name not in carriers.biased and not (layout == _ADDED).any():
            self._layout[node.name] = np.arange(node.shape[0])
            return node
        weight = _moved(dense_weight(module), layout, module.in_channels)
        if added:
            weight = torch.cat((weight, torch.zeros_like(weight[:1])))
        bias = module.bias
        if node.name in carriers.biased:
            self._carry(node, weight, bias)
            bias = None
        if relays:
            self._pass_on(node, weight)
        if bias is not None and added:
            bias = torch.cat((bias, torch.zeros_like(bias[:1])))
        out = np.arange(node.shape[0])
        node = replace(node, module=convolution_like(module, weight, bias))
        return self._kept(node, np.append(out, _ADDED) if added else out)

    def _carry(self, node: Node, weight: torch.Tensor, bias: torch.Tensor) -> None:
        """The bias, shared out among the taps that get events."""
        rows, columns = (c.biases[node.name] for c in (self._carriers.rows, self._carriers.columns))
        source = node.inputs[0]
        share = self._unit[source] * rows.count * columns.count
        live = self._live_channel(source)
        taps = (slice(rows.first, rows.last), slice(columns.first, columns.last))
        weight[: len(bias), live, taps[0], taps[1]] = (bias.double() / share)[:, None, None]

    def _pass_on(self, node: Node, weight: torch.Tensor) -> None:
        """One tap to the last output channel; its largest value is the constant's own."""
        carriers, source = self._carriers, node.inputs[0]
        peak = int(carriers.rows.counts[node.name].max() * carriers.columns.counts[node.name].max())
        upper = getattr(self._graph.consumers(node.name)[0].module, "upper", None)
        value = self._value if upper is None else min(self._value, float(upper))
        self._unit[node.name] = value / peak
        row, column = carriers.rows.relays[node.name], carriers.columns.relays[node.name]
        weight[-1, self._live_channel(source), row, column] = (value / peak) / self._unit[source]

    def _live_channel(self, name: str) -> int:
        """Where the constant stands in the output of `name`."""
        node = self._graph[name]
        if node.kind is not Kind.CONCAT:
            return len(self._layout[name]) - 1
        before = 0
        for source in node.inputs:
            before += len(self._layout[source])
            if source == self._carriers.live[name]:
                break
        return before - 1

    def _relay_threshold(self, node: Node) -> float:
        """At which the last channel fires once a step where the constant is largest."""
        conv = node.inputs[0]
        if conv in self._carriers.silent:
            return self._silent_threshold(node)
        if node.name not in self._carriers.live or self._graph[conv].kind is not Kind.CONV:
            return 0.0
        return self._unit[conv] * self._peak(conv)

    def _peak(self, conv: str) -> int:
        rows, columns = self._carriers.rows.counts[conv], self._carriers.columns.counts[conv]
        return int(rows.max() * columns.max())

    def _silent_threshold(self, node: Node) -> float:
        """That of the relay that it meets at an addition, where thresholds must be equal."""
        return self._carriers.silent[node.inputs[0]] * self._value

    def _linear(self, node: Node) -> nn.Module:
        module = cast(nn.Linear, node.module)
        layout = self._layout[node.inputs[0]]
        if not (layout == _ADDED).any():
            return module
        weight = _moved(dense_weight(module), layout, module.in_features)
        return layer_like(module, weight, module.bias)


def _averaged(node: Node) -> int:
    if node.kind is not Kind.AVG_POOL:
        return 1
    size: Any = getattr(node.module, "kernel_size", 1)
    return int(np.prod(size)) if isinstance(size, tuple) else int(size) ** 2


def _moved(weight: torch.Tensor, layout: Ints, channels: int) -> torch.Tensor:
    """`weight` for inputs in another order, with zeros for those that were added."""
    moved = weight.new_zeros((weight.shape[0], len(layout), *weight.shape[2:]))
    kept = np.flatnonzero(layout != _ADDED)
    assert len(kept) == channels  # noqa: S101  (an invariant of this module)
    moved[:, kept] = weight[:, layout[kept]]
    return moved
