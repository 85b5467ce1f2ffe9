"""The ways that a network's biases can take to the chip, each adapted for itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from speck_adacal.ann.graph import LayerGraph
from speck_adacal.recipe.recipe import AdaptSettings, LayerRecipe
from speck_adacal.samples.batches import Batches
from speck_adacal.snn.adapted import AdaptedNetwork

Change = Callable[[LayerRecipe], LayerRecipe]


@dataclass(frozen=True, eq=False)
class Base:
    """A network adapted for one way of its biases, and the samples as it sees them.

    `bias` is `"events"`, `"initial"`, `"leak"`, or `"none"` where there are no biases. Where the
    way is `measured` and not the user's own, single layers may go another one.
    """

    bias: str
    adapted: AdaptedNetwork
    batches: Batches
    measured: bool = False


def has_biases(graph: LayerGraph) -> bool:
    """Whether any layer adds something to its weighted inputs."""
    biases = (getattr(node.module, "bias", None) for node in graph.nodes)
    return any(bias is not None and bool((bias != 0).any()) for bias in biases)


def ways_of_biases(
    graph: LayerGraph, settings: AdaptSettings, *, one_way: bool
) -> tuple[AdaptSettings, ...]:
    """The settings to adapt with, so that policies can be compared, the simplest way first.

    Args:
        graph: the network.
        settings: `bias="measured"` asks for all ways.
        one_way: whether there is to be one way only: adaptation searches φ or ρ, or no chip can
            take the network.
    """
    measured = settings.bias == "measured"
    if not measured or settings.input_coding != "events":
        return (settings,)
    if one_way or not settings.chip_correction:
        return (replace(settings, bias="events"),)
    if not has_biases(graph):
        return (replace(settings, bias="initial"),)
    return tuple(replace(settings, bias=way) for way in ("initial", "events"))


def base_of(adapted: AdaptedNetwork, batches: Batches) -> Base:
    """An adapted network as a base, with the way that its settings ask for and it allows."""
    if adapted.recipe.constant is not None:
        return Base("events", adapted, batches)
    if not has_biases(adapted.graph):
        return Base("none", adapted, batches)
    leaks = adapted.recipe.settings.bias == "leak"
    network = with_layers(adapted, lambda layer: replace(layer, leaks=leaks))
    recipe = replace(network.recipe, step_us=batches.step_us)
    return Base("leak" if leaks else "initial", replace(network, recipe=recipe), batches)


def compared(bases: Sequence[Base], *, measured: bool) -> list[Base]:
    """The bases to compare: one of each way, and where the way is measured, the leak as well (which
    is calibrated as initial potentials are)."""
    found: dict[str, Base] = {}
    for each in bases:
        base = replace(each, measured=measured)
        found.setdefault(base.bias, base)
        if measured and base.bias == "initial":
            network = with_layers(base.adapted, lambda layer: replace(layer, leaks=True))
            found["leak"] = replace(base, bias="leak", adapted=network)
    return list(found.values())


def with_layers(adapted: AdaptedNetwork, change: Change) -> AdaptedNetwork:
    """The network with every layer of its recipe changed."""
    layers = tuple(change(layer) for layer in adapted.recipe.layers)
    return replace(adapted, recipe=replace(adapted.recipe, layers=layers))
