"""Branches that part and meet again: what meets at an addition needs one threshold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from speck_adacal.ann.graph import Kind, LayerGraph, Node
from speck_adacal.errors import ModelError
from speck_adacal.recipe.recipe import LayerRecipe, Recipe

Floats = npt.NDArray[np.float64]

# Operations that pass spikes on without a core of their own.
_PASSING = (Kind.ADD, Kind.AVG_POOL, Kind.SUM_POOL, Kind.FLATTEN)
# No channel's threshold below this share of the median channel's (see `balance_channels`).
_LOWEST_SHARE = 0.25


def is_idle(graph: LayerGraph, node: Node) -> bool:
    """Whether a node is an activation of sums or pools of spikes, which are never negative."""
    passing = (*_PASSING, Kind.CONCAT)
    return node.kind is Kind.ACTIVATION and graph[node.inputs[0]].kind in passing


def sole_reader(graph: LayerGraph, node: Node) -> Node | None:
    """The one node that reads a layer with weights; None where it is the output.

    Raises:
        ModelError: several nodes read the values before they are spikes.
    """
    readers = graph.consumers(node.name)
    if len(readers) > 1:
        raise ModelError(
            f"{node.name!r} is read by {len(readers)} operations before its activation; only "
            "spikes can be sent to several cores: put a ReLU behind it, before the branches part."
        )
    return readers[0] if readers else None


def unspiking_source(graph: LayerGraph, node: Node) -> ModelError:
    """The error for a node that reads something else than spikes."""
    return ModelError(
        f"{node.name!r} ({node.kind.value}) reads values that are not spikes; put a ReLU behind "
        "the convolution before it."
    )


def equalised(graph: LayerGraph, recipe: Recipe) -> Recipe:
    """Give all activations that meet at an addition one value per spike.

    The lowest of their thresholds serves all, channel by channel, so that no branch loses
    resolution, and φ rises by as much as a threshold falls, so that none loses range. Spikes of
    the output's neurons meet on the host, which counts them all alike: these get one threshold
    for all channels.
    """
    for group in _groups(graph):
        members = {name: recipe[name] for name in group}
        values = [members[name].firing_threshold * share for name, share in group.items()]
        common = _common(values, relays=any(graph[name].relay for name in group))
        layers = tuple(
            _moved(layer, common / group[layer.name]) if layer.name in group else layer
            for layer in recipe.layers
        )
        recipe = replace(recipe, layers=layers)
    for name in _counted(graph):
        firing = recipe[name].firing_threshold
        if firing.ndim:
            one = np.asarray(_common([firing], relays=False).min())
            layers = tuple(_moved(x, one) if x.name == name else x for x in recipe.layers)
            recipe = replace(recipe, layers=layers)
    return recipe


def meeting_names(graph: LayerGraph) -> frozenset[str]:
    """Activations whose spikes meet others at an addition, or are counted as the network's output:
    their thresholds must stay equal."""
    return frozenset(name for group in _groups(graph) for name in group) | _counted(graph)


def _counted(graph: LayerGraph) -> frozenset[str]:
    """The activation whose spikes are the network's output, where there is one."""
    return frozenset(_spiking_sources(graph, graph[graph.outputs[0]], 1.0))


def _groups(graph: LayerGraph) -> list[dict[str, float]]:
    """Activations that meet, with the share of a spike's value that average pooling leaves."""
    groups: list[dict[str, float]] = []
    for node in graph.of_kind(Kind.ADD):
        found = _spiking_sources(graph, node, 1.0)
        for other in [group for group in groups if group.keys() & found.keys()]:
            groups.remove(other)
            found = {**other, **found}
        if found:  # of sums of values that are no spikes the fold tells
            groups.append(found)
    return groups


def _spiking_sources(graph: LayerGraph, node: Node, share: float) -> dict[str, float]:
    if node.kind is Kind.ACTIVATION and not is_idle(graph, node):
        return {node.name: share}
    if node.kind is Kind.AVG_POOL:
        size = getattr(node.module, "kernel_size", 1)
        share /= float(np.prod(size)) if isinstance(size, Sequence) else float(size) ** 2
    if node.kind not in (*_PASSING, Kind.ACTIVATION):
        return {}
    found: dict[str, float] = {}
    for name in node.inputs:
        found |= _spiking_sources(graph, graph[name], share)
    return found


def _common(values: Sequence[Floats], *, relays: bool) -> Floats:
    lowest = np.asarray(np.minimum.reduce(np.broadcast_arrays(*values)), dtype=np.float64)
    own = lowest[:-1] if relays else lowest  # the last one relays a constant
    floor = np.full_like(lowest, _LOWEST_SHARE * np.median(own))
    if relays:
        floor[-1] = 0.0
    return np.maximum(lowest, floor)


def _moved(layer: LayerRecipe, firing: Floats) -> LayerRecipe:
    """The layer with another firing threshold; its start keeps its distance from half of it."""
    raised = max(1.0, float((layer.firing_threshold / firing).max()))
    return layer.with_threshold(firing, rho=1.0, phi=int(np.ceil(layer.phi * raised - 1e-9)))
