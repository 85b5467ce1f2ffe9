"""What `adapt` will rewrite in a network, and what that costs, said before there is any data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from speck_adacal.ann.graph import Kind, LayerGraph
from speck_adacal.ann.rewriting import merge_linear_maps
from speck_adacal.chip.fitting import target_chip
from speck_adacal.chip.operations import layer_shapes
from speck_adacal.chip_description import ChipDescription
from speck_adacal.errors import ModelError
from speck_adacal.recipe.recipe import AdaptSettings
from speck_adacal.rewriting.max_pooling import with_average_pooling
from speck_adacal.rewriting.rewrite import carry_what_fits
from speck_adacal.rewriting.splitting import split_large_layers
from speck_adacal.rewriting.sums import merge_sums


@dataclass(frozen=True)
class Planned:
    """One rewriting that a network needs.

    Attributes:
        what: what becomes of what, in words.
        where: names of the operations and layers concerned, as far as they change or go.
        exact: whether the network's function stays as it is.
        layers: number of layers with weights, before and after.
        kernel_words: of kernel memory over all layers, before and after.
        events_a_step: input events that it adds to each time step.
    """

    what: str
    where: tuple[str, ...]
    exact: bool
    layers: tuple[int, int]
    kernel_words: tuple[int, int]
    events_a_step: int = 0

    def __str__(self) -> str:
        exact = "exact" if self.exact else "not exact: adapt measures what it loses"
        cost = f"kernel memory {self.kernel_words[0]:,} → {self.kernel_words[1]:,} words"
        if self.layers[0] != self.layers[1]:
            cost += f", {self.layers[0]} → {self.layers[1]} layers"
        if self.events_a_step:
            cost += f", {self.events_a_step} input events a time step"
        return f"{', '.join(self.where)}: {self.what} ({exact}; {cost})"


Step = tuple[str, bool, Callable[[LayerGraph], LayerGraph]]


def planned_rewritings(
    graph: LayerGraph, description: ChipDescription
) -> tuple[LayerGraph, tuple[Planned, ...]]:
    """Rewrite a network as `adapt` will, without the fit behind max pooling, which needs data.

    Args:
        graph: a traced network; never changed.
        description: of the chip.

    Returns:
        The network as far as it can be rewritten, and what was done.
    """
    limits = description.limits
    steps: tuple[Step, ...] = (
        ("merged with the layers beside", True, lambda g: merge_linear_maps(g, limits)),
        ("the sum becomes one convolution", True, lambda g: merge_sums(g, limits)),
        (
            "max pooling becomes average pooling, and the layers behind are fitted to it by "
            "least squares",
            False,
            lambda g: merge_linear_maps(with_average_pooling(g), limits),
        ),
    )
    found: list[Planned] = []
    for what, exact, change in steps:
        graph = _done(graph, change, what, exact, found)
    graph, biases = _with_biases_carried(graph, description)
    found += [] if biases is None else [biases]
    share = "too large for any core, shared out between two"
    graph = _done(graph, lambda g: split_large_layers(g, description), share, True, found)
    return graph, tuple(found)


def _done(
    graph: LayerGraph,
    change: Callable[[LayerGraph], LayerGraph],
    what: str,
    exact: bool,
    found: list[Planned],
) -> LayerGraph:
    """The changed graph; what cannot be done stays, and is told of as a violation."""
    try:
        changed = change(graph)
    except ModelError:
        return graph
    if where := _changed_names(graph, changed):
        found.append(_planned(what, where, exact, graph, changed))
    return changed


def _with_biases_carried(
    graph: LayerGraph, description: ChipDescription
) -> tuple[LayerGraph, Planned | None]:
    settings = AdaptSettings()
    amplitude = 1 / settings.input_burst
    carried = carry_what_fits(
        graph,
        settings.constant_rate,
        amplitude,
        target_chip(description.name),
    )
    if carried is None:
        return graph, None
    what = "biases are carried by events of a constant channel, where measuring finds that best"
    planned = _planned(
        what, carried.carried, True, graph, carried.graph, carried.constant.events_per_step
    )
    return carried.graph, planned


def _planned(
    what: str,
    where: tuple[str, ...],
    exact: bool,
    before: LayerGraph,
    after: LayerGraph,
    events_a_step: int = 0,
) -> Planned:
    shapes = [layer_shapes(graph) for graph in (before, after)]
    layers, words = (
        (len(shapes[0]), len(shapes[1])),
        (
            sum(shape.kernel_words for shape in shapes[0]),
            sum(shape.kernel_words for shape in shapes[1]),
        ),
    )
    return Planned(what, where, exact, layers, words, events_a_step)


def _changed_names(before: LayerGraph, after: LayerGraph) -> tuple[str, ...]:
    """Nodes that are gone or of another kind; those that changed in place, where none is."""
    kept = {node.name: node for node in after.nodes}
    gone = [n.name for n in before.nodes if n.name not in kept or kept[n.name].kind is not n.kind]
    weighted = (Kind.CONV, Kind.LINEAR)
    if not gone:
        gone = [
            n.name
            for n in before.of_kind(*weighted)
            if kept[n.name].module is not n.module and kept[n.name].shape != n.shape
        ]
    return tuple(gone)
