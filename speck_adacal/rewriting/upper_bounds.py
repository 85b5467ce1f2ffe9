"""Upper bounds of activations (ReLU6, Hardtanh, clamp), which no neuron of a core has.

`min(relu(x), b) = relu(x) - relu(x - b)`: a second neuron for each channel that exceeds its bound,
which the layers behind read with the weights of the first and the other sign. That is exact, and
costs memory for these channels. Which bounds are worth it is measured on calibration samples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from speck_adacal.ann.graph import Kind, LayerGraph, Node
from speck_adacal.ann.modules import EdgedConv2d, Rectifier
from speck_adacal.rewriting.new_weights import dense_weight, layer_like

LEFT_OUT, DOUBLED = REWRITTEN = ("left out", "a second neuron")  # what becomes of a bound
MOST_IGNORED = 0.01  # share of decisions that leaving bounds out may change
_MOVED = 0.05  # of the spread of a single output: it is another one
_MOST_SAMPLES = 512
_WEIGHTED = (Kind.CONV, Kind.LINEAR)
_PASSING = (Kind.AVG_POOL, Kind.SUM_POOL, Kind.FLATTEN, Kind.CONCAT)

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class MeasuredBound:
    """What calibration samples say of one bound.

    Attributes:
        node: the activation.
        upper: its bound, in units of the activation.
        share: of the activations above 0, those that it cuts off.
        changed: share of decisions that are others without it; of a single output, the share of
            values that move by more than a twentieth of their spread.
        becomes: `"left out"`, `"a second neuron"`, or `"kept"` where the chip has no place for it.
    """

    node: str
    upper: float
    share: float
    changed: float
    becomes: str


@torch.no_grad()
def honour_bounds(
    graph: LayerGraph, batches: Sequence[torch.Tensor], fits: Callable[[LayerGraph], bool]
) -> tuple[LayerGraph, tuple[MeasuredBound, ...]]:
    """Leave out the bounds that do not matter, and rewrite the others, as far as they fit.

    Args:
        graph: a network; never changed.
        batches: calibration inputs, `[batch, *input_shape]`.
        fits: whether a network fits the chip.

    Returns:
        The network, and what became of each bound, in order; what could not be honoured stays.
    """
    bounds = graph.clipped_activations()
    if not bounds or not fits(graph):
        return graph, ()
    inputs = torch.cat(list(batches))[:_MOST_SAMPLES]
    wanted = _outputs(graph, inputs, ())
    found = {bound.node: _exceeding(graph, inputs, bound.node, bound.upper) for bound in bounds}
    alone = {name: _changed(graph, inputs, wanted, (name,)) for name in found}
    dropped: list[str] = []
    for name in sorted(alone, key=lambda name: alone[name]):
        together = (*dropped, name)
        changed = _changed(graph, inputs, wanted, together) if dropped else alone[name]
        if changed <= MOST_IGNORED:
            dropped.append(name)
    graph = _unbounded(graph, dropped)
    doubled: list[str] = []
    for name in sorted(set(found) - set(dropped), key=lambda name: -alone[name]):
        channels = found[name][0]
        doubling = with_second_neurons(graph, name, channels) if len(channels) else None
        if doubling is not None and fits(doubling):
            graph = doubling
            doubled.append(name)
    becomes = dict.fromkeys(dropped, LEFT_OUT) | dict.fromkeys(doubled, DOUBLED)
    return graph, tuple(
        MeasuredBound(b.node, b.upper, found[b.node][1], alone[b.node], becomes.get(b.node, "kept"))
        for b in bounds
    )


def with_second_neurons(graph: LayerGraph, name: str, channels: Ints) -> LayerGraph | None:
    """Replace one bound by second neurons of some channels: exact where only these exceed it.

    Args:
        graph: the network; never changed.
        name: of an activation with an upper bound, behind a layer with weights.
        channels: which channels get a second neuron.

    Returns:
        None where spikes of the second neurons would reach something else than weights.
    """
    neurons = graph[name]
    layer = graph[neurons.inputs[0]]
    module: Any = layer.module
    alone = len(graph.consumers(layer.name)) == 1 and not isinstance(module, EdgedConv2d)
    if layer.kind not in _WEIGHTED or not alone or neurons.relay:
        return None
    upper = float(getattr(neurons.module, "upper", 0.0))
    own = np.arange(layer.shape[0])
    layouts = {name: np.concatenate([own, channels])}
    signs = {name: np.concatenate([np.ones(len(own)), -np.ones(len(channels))])}
    new: dict[str, Node] = {}
    wider = _with_rows(module, channels, upper)
    new[layer.name] = replace(layer, module=wider, shape=(len(layouts[name]), *layer.shape[1:]))
    new[name] = replace(neurons, module=Rectifier(), shape=new[layer.name].shape)
    for node in graph.nodes:
        if not layouts.keys() & set(node.inputs):
            continue
        if node.kind in _WEIGHTED:
            source = node.inputs[0]
            new[node.name] = replace(
                node, module=_with_columns(node.module, layouts[source], signs[source])
            )
        elif node.kind in _PASSING:
            layout, sign = _passed(graph, node, layouts, signs)
            layouts[node.name], signs[node.name] = layout, sign
            new[node.name] = replace(node, shape=(len(layout), *node.shape[1:]))
        else:
            return None
    if layouts.keys() & set(graph.outputs):
        return None
    return replace(graph, nodes=tuple(new.get(node.name, node) for node in graph.nodes))


def _passed(
    graph: LayerGraph, node: Node, layouts: Mapping[str, Ints], signs: Mapping[str, Any]
) -> tuple[Ints, Any]:
    """The channels of a node's output: which each was before, and with which sign it counts."""
    if node.kind is Kind.CONCAT:
        sizes = [graph[source].shape[0] for source in node.inputs]
        starts = np.cumsum([0, *sizes])
        own = [layouts.get(n, np.arange(size)) for n, size in zip(node.inputs, sizes, strict=True)]
        counts = [signs.get(n, np.ones(size)) for n, size in zip(node.inputs, sizes, strict=True)]
        moved = [start + part for start, part in zip(starts, own, strict=False)]
        return np.concatenate(moved), np.concatenate(counts)
    layout, sign = layouts[node.inputs[0]], signs[node.inputs[0]]
    if node.kind is Kind.FLATTEN:
        size = int(np.prod(graph[node.inputs[0]].shape[1:]))
        layout = (layout[:, None] * size + np.arange(size)).ravel()
        sign = np.repeat(sign, size)
    return layout, sign


def _with_rows(module: Any, channels: Ints, upper: float) -> nn.Module:
    """The layer with some outputs a second time, each lower by the bound."""
    rows = torch.from_numpy(channels)
    weight = dense_weight(module)
    bias = weight.new_zeros(len(weight)) if module.bias is None else module.bias.detach()
    bias = torch.cat((bias, bias[rows] - upper))
    return layer_like(module, torch.cat((weight, weight[rows])), bias)


def _with_columns(module: Any, layout: Ints, signs: Any) -> nn.Module:
    """The layer for inputs in another order, some of them with the other sign."""
    weight = dense_weight(module)
    sign = torch.as_tensor(signs, dtype=weight.dtype)
    weight = weight[:, torch.from_numpy(layout)] * sign.view(1, -1, *[1] * (weight.ndim - 2))
    return layer_like(module, weight, None if module.bias is None else module.bias.detach())


def _exceeding(
    graph: LayerGraph, inputs: torch.Tensor, name: str, upper: float
) -> tuple[Ints, float]:
    """Channels that reach a bound, and the share of the activations above 0 that do."""
    reached = torch.zeros(graph[name].shape[0], dtype=torch.bool)
    above = active = 0
    for piece in inputs.split(128):
        value = graph.run(piece, keep=(name,))[name]
        cut = value >= upper
        reached |= cut.flatten(1).unflatten(1, (len(reached), -1)).any(2).any(0)
        above, active = above + int(cut.sum()), active + int((value > 0).sum())
    return np.flatnonzero(reached.numpy()), above / max(active, 1)


def _unbounded(graph: LayerGraph, names: Sequence[str]) -> LayerGraph:
    if not names:
        return graph
    nodes = tuple(
        replace(node, module=Rectifier()) if node.name in names else node for node in graph.nodes
    )
    return replace(graph, nodes=nodes)


def _changed(
    graph: LayerGraph, inputs: torch.Tensor, wanted: list[torch.Tensor], without: Sequence[str]
) -> float:
    """Share of the inputs that are decided otherwise; a single output decides by its value."""
    found = _outputs(graph, inputs, without)
    parts = [_changed_output(own, old) for own, old in zip(found, wanted, strict=True)]
    return sum(parts) / len(parts)


def _changed_output(found: torch.Tensor, wanted: torch.Tensor) -> float:
    if wanted.shape[1] == 1:
        return float(((found - wanted).abs() > _MOVED * wanted.std(correction=0)).float().mean())
    return float((found.argmax(1) != wanted.argmax(1)).float().mean())


def _outputs(graph: LayerGraph, inputs: torch.Tensor, without: Sequence[str]) -> list[torch.Tensor]:
    """Every output, channels first."""
    plain = {name: Rectifier() for name in without}
    pieces = [graph.run(piece, replace=plain) for piece in inputs.split(128)]
    axes = {name: 1 + graph[name].channel_axis for name in graph.outputs}
    return [torch.cat([p[name] for p in pieces]).movedim(axis, 1) for name, axis in axes.items()]
