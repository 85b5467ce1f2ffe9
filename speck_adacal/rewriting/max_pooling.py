"""Max pooling as average pooling, with the layers behind it calibrated in closed form.

A core sums spikes; the largest of several inputs it cannot tell. Average pooling takes the place of
max pooling, and the weights and bias of every layer behind it are fitted by ridge least squares to
what the trained network computes there before its activation, layer by layer on the layers already
changed. This is not exact: how many decisions change is measured on samples held out of the fit.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from speck_adacal.ann.graph import Kind, LayerGraph, Node
from speck_adacal.errors import CalibrationError, ModelError
from speck_adacal.rewriting.least_squares import LARGEST_FAN_IN, RidgeFit
from speck_adacal.samples.held_out import IN_JUDGEMENT, judges, samples_to_give

FEWEST_SAMPLES = 64
_INPUTS_PER_ROW = 16  # of a layer, for each row of the fit: fewer rows say too little
_RIDGE = 1e-2
_MOST_SAMPLES = 1024
_WEIGHTED = (Kind.CONV, Kind.LINEAR)


@dataclass(frozen=True, eq=False)
class Refit:
    """A network without max pooling.

    Attributes:
        graph: with average pooling, and fitted layers.
        fitted: names of the layers that were fitted.
        changed_decisions: share of the held-out samples that it decides otherwise than before.
        held_out: number of these.
    """

    graph: LayerGraph
    fitted: tuple[str, ...]
    changed_decisions: float
    held_out: int


@torch.no_grad()
def without_max_pooling(
    graph: LayerGraph, batches: Sequence[torch.Tensor], *, most_changed: float
) -> Refit:
    """Replace every max pooling of a network and fit the layers behind.

    Args:
        graph: the network; never changed.
        batches: calibration inputs as the trained network sees them, `[batch, *input_shape]`.
        most_changed: share of held-out decisions that may change.

    Raises:
        CalibrationError: there are too few samples for a fit; it says how many it takes.
        ModelError: more decisions change than allowed, or a pooling has a dilation.
    """
    inputs = torch.cat(list(batches))
    _refuse_few(graph, len(inputs))
    kept = inputs[: _MOST_SAMPLES * IN_JUDGEMENT // (IN_JUDGEMENT - 1)]
    held = torch.from_numpy(judges(len(kept)))
    trial, _ = _fitted(graph, kept[~held])
    changed = float((_decisions(graph, kept[held]) != _decisions(trial, kept[held])).float().mean())
    if changed > most_changed:
        raise ModelError(
            f"Without max pooling the network decides {changed:.1%} of {int(held.sum())} held-out "
            f"samples otherwise, allowed are {most_changed:.1%} (max_pooling_loss); give more "
            "calibration samples, or train with average pooling in its place."
        )
    found, fitted = _fitted(graph, kept[:_MOST_SAMPLES])
    return Refit(found, fitted, changed, int(held.sum()))


def _refuse_few(graph: LayerGraph, samples: int) -> None:
    behind = _behind_max_pooling(graph)
    for node in graph.of_kind(*_WEIGHTED):
        if node.name not in behind:
            continue
        module: Any = node.module
        positions = math.prod(node.shape[1:])
        inputs = min(module.weight[0].numel() + 1, LARGEST_FAN_IN)
        wanted = math.ceil(inputs / (_INPUTS_PER_ROW * positions))
        wanted = max(FEWEST_SAMPLES, math.ceil(wanted * IN_JUDGEMENT / (IN_JUDGEMENT - 1)))
        if samples < wanted:
            raise CalibrationError(
                f"Layer {node.name!r} stands behind a max pooling, which no core can do, and is "
                f"fitted again to average pooling: that takes {wanted} calibration samples, found "
                f"{samples}; give {samples_to_give(wanted)}, some of which are held out to judge "
                "by (hold_out), or use max_pooling='keep' where nothing is deployed."
            )


def _behind_max_pooling(graph: LayerGraph) -> frozenset[str]:
    found: set[str] = set()
    for node in graph.nodes:
        if node.kind is Kind.MAX_POOL or found.intersection(node.inputs):
            found.add(node.name)
    return frozenset(found)


def _fitted(graph: LayerGraph, inputs: torch.Tensor) -> tuple[LayerGraph, tuple[str, ...]]:
    behind = _behind_max_pooling(graph)
    nodes = tuple(
        replace(node, module=copy.deepcopy(node.module)) if node.name in behind else node
        for node in with_average_pooling(graph).nodes
    )
    new, fitted = replace(graph, nodes=nodes), []
    for node, before, after in _side_by_side(graph, new, inputs):
        module: Any = node.module
        small = node.kind in _WEIGHTED and module.weight[0].numel() <= LARGEST_FAN_IN
        if node.name not in behind or not small:
            continue
        fit = RidgeFit(module)
        for wanted, given in zip(before, after, strict=True):
            fit.add(given[node.inputs[0]], wanted[node.name])
        fit.fit(_RIDGE)
        fitted.append(node.name)
    return new, tuple(fitted)


def with_average_pooling(graph: LayerGraph) -> LayerGraph:
    """Average pooling in the place of each max pooling, and nothing fitted to it.

    Raises:
        ModelError: a pooling has a dilation, or one dimension.
    """
    nodes = tuple(
        _averaging(node, graph[node.inputs[0]].shape) if node.kind is Kind.MAX_POOL else node
        for node in graph.nodes
    )
    return replace(graph, nodes=nodes)


Values = list[dict[str, torch.Tensor]]


def _side_by_side(
    graph: LayerGraph, new: LayerGraph, inputs: torch.Tensor
) -> Iterator[tuple[Node, Values, Values]]:
    """The nodes of `new` in order, each before it is run, with the values of both networks."""
    start = graph.nodes[0].name
    before: Values = [{start: piece} for piece in inputs.split(128)]
    after: Values = [{start: piece} for piece in inputs.split(128)]
    last = {name: node.name for node in graph.nodes for name in node.inputs}
    for node, changed in zip(graph.nodes[1:], new.nodes[1:], strict=True):
        _run(node, before)
        yield changed, before, after
        _run(changed, after)
        for name in set(node.inputs):
            if last[name] == node.name:
                for values in (*before, *after):
                    del values[name]


def _run(node: Node, pieces: Values) -> None:
    module: Any = node.module
    for values in pieces:
        values[node.name] = module(*(values[name] for name in node.inputs))


def _averaging(node: Node, before: tuple[int, ...]) -> Node:
    """The average pooling in a max pooling's place: tiles of its stride where the map agrees."""
    module: Any = node.module
    if not isinstance(module, nn.MaxPool2d) or module.dilation not in (1, (1, 1)):
        raise ModelError(
            f"{node.name!r} is a {type(module).__name__} with dilation "
            f"{getattr(module, 'dilation', 1)}; only two-dimensional max pooling without dilation "
            "can be replaced: use average pooling and train again."
        )
    stride = module.kernel_size if module.stride is None else module.stride
    pool = nn.AvgPool2d(stride)
    found = pool(torch.zeros(1, *before)).shape[1:] if _is_within(stride, before) else None
    if found != node.shape:
        pool = nn.AvgPool2d(module.kernel_size, stride, module.padding, module.ceil_mode)
    return replace(node, kind=Kind.AVG_POOL, module=pool)


def _is_within(size: Any, before: tuple[int, ...]) -> bool:
    return bool(max(size if isinstance(size, tuple) else (size,)) <= min(before[1:]))


def _decisions(graph: LayerGraph, inputs: torch.Tensor) -> torch.Tensor:
    """The largest channel of every output at each place, `[samples, places]`."""
    axes = {name: 1 + graph[name].channel_axis for name in graph.outputs}
    found = []
    for piece in inputs.split(128):
        values = graph.run(piece)
        parts = [values[name].argmax(axis).reshape(len(piece), -1) for name, axis in axes.items()]
        found.append(torch.cat(parts, 1))
    return torch.cat(found)
