"""The rewritings of a network before it is adapted, in their order."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from speck_adacal.ann.graph import NO_CORE, Kind, LayerGraph
from speck_adacal.ann.rewriting import merge_linear_maps
from speck_adacal.chip_description import ChipDescription
from speck_adacal.events.constant import ConstantChannel
from speck_adacal.recipe.recipe import AdaptSettings, StepRecord
from speck_adacal.rewriting.bias_events import BiasEvents, carry_biases
from speck_adacal.rewriting.max_pooling import without_max_pooling
from speck_adacal.rewriting.splitting import split_large_layers
from speck_adacal.rewriting.sums import merge_sums
from speck_adacal.rewriting.upper_bounds import honour_bounds
from speck_adacal.samples.batches import Batches

BOUNDS = "upper bounds of activations"  # the name of its record in a recipe's trace


@dataclass(frozen=True)
class Target:
    """The chip that a network is rewritten for.

    Attributes:
        description: of the chip.
        fits: whether a network fits it.
    """

    description: ChipDescription
    fits: Callable[[LayerGraph], bool]


@dataclass(frozen=True, eq=False)
class Rewriting:
    """A network as it will be adapted.

    Attributes:
        graph: the rewritten network, or the one given where nothing was to be done.
        constant: the channel that its input has beside the network's own, if any.
        trace: what was done, for the recipe.
    """

    graph: LayerGraph
    constant: ConstantChannel | None = None
    trace: tuple[StepRecord, ...] = ()


def rewrite_for_cores(
    graph: LayerGraph, batches: Batches, settings: AdaptSettings, target: Target
) -> Rewriting:
    """Rewrite what no core can do as what one can: linear maps, sums, max pooling, upper bounds.

    Args:
        graph: the traced network; never changed.
        batches: the calibration set.
        settings: what may be rewritten.
        target: the chip.

    Raises:
        CalibrationError: too few samples for what has to be fitted.
        ModelError: what has to be fitted loses more than the settings allow.
    """
    if settings.input_coding != "events" or graph.of_kind(*NO_CORE):
        return Rewriting(graph)
    limits = target.description.limits
    graph = merge_sums(merge_linear_maps(graph, limits), limits)
    trace: tuple[StepRecord, ...] = ()
    if settings.max_pooling == "refit" and graph.of_kind(Kind.MAX_POOL):
        graph, record = _without_max_pooling(graph, batches, settings)
        graph, trace = merge_linear_maps(graph, limits), (record,)
    graph, records = _with_bounds_honoured(graph, batches, target)
    return Rewriting(graph, trace=(*trace, *records))


def rewrite_biases(
    found: Rewriting, batches: Batches, settings: AdaptSettings, target: Target
) -> Rewriting:
    """Carry biases by events, where the settings ask for it, and share out too large layers.

    Args:
        found: the result of `rewrite_for_cores`.
        batches: the calibration set.
        settings: how biases reach the chip.
        target: the chip.
    """
    if settings.input_coding != "events" or found.graph.of_kind(*NO_CORE):
        return found
    description = target.description
    plain = split_large_layers(found.graph, description)
    if settings.bias != "events":
        return replace(found, graph=plain)
    rate, amplitude = settings.constant_rate, batches.amplitude
    carried = carry_what_fits(found.graph, rate, amplitude, target)
    if carried is None:
        return replace(found, graph=plain)
    values = {f"relayed by:{name}": 1.0 for name in carried.relays}
    values |= {f"bias of:{name}": 1.0 for name in carried.carried}
    values["constant events a step"] = float(carried.constant.events_per_step)
    return Rewriting(
        graph=split_large_layers(carried.graph, description),
        constant=replace(carried.constant, step_us=batches.step_us),
        trace=(*found.trace, StepRecord("biases by events", 0.0, values)),
    )


def carry_what_fits(
    graph: LayerGraph,
    rate: int,
    amplitude: float,
    target: Target,
) -> BiasEvents | None:
    """Carry the biases of as many layers as the chip has memory for, the first ones first.

    A relay is one channel more, and memories count in powers of two. Where the network fits only
    without the last ones, these keep their biases as they are. Where it fits not even so, all are
    carried.

    Args:
        graph: the network.
        rate, amplitude: as for `carry_biases`.
        target: the chip.

    Returns:
        None where there is nothing to carry, or memory for no relay.
    """
    description, fits = target.description, target.fits
    everything = carry_biases(graph, rate=rate, amplitude=amplitude)
    if everything is None or fits(split_large_layers(everything.graph, description)):
        return everything
    if not fits(split_large_layers(graph, description)):
        return everything
    for most in range(len(everything.carried) - 1, 0, -1):
        fewer = carry_biases(graph, rate=rate, amplitude=amplitude, most=most)
        if fewer is not None and fits(split_large_layers(fewer.graph, description)):
            return fewer
    return None


def _with_bounds_honoured(
    graph: LayerGraph, batches: Batches, target: Target
) -> tuple[LayerGraph, tuple[StepRecord, ...]]:
    if not graph.clipped_activations():
        return graph, ()
    started = time.perf_counter()
    graph, found = honour_bounds(
        graph,
        tuple(batches.network_inputs()),
        lambda changed: target.fits(split_large_layers(changed, target.description)),
    )
    if not found:
        return graph, ()
    values: dict[str, float] = {}
    for bound in found:
        values |= {f"cut off:{bound.node}": bound.share, f"decisions:{bound.node}": bound.changed}
        values |= {f"{bound.becomes}:{bound.node}": 1.0, f"bound:{bound.node}": bound.upper}
    return graph, (StepRecord(BOUNDS, time.perf_counter() - started, values),)


def _without_max_pooling(
    graph: LayerGraph, batches: Batches, settings: AdaptSettings
) -> tuple[LayerGraph, StepRecord]:
    started = time.perf_counter()
    found = without_max_pooling(
        graph, tuple(batches.network_inputs()), most_changed=settings.max_pooling_loss
    )
    values = {f"fitted:{name}": 1.0 for name in found.fitted}
    values["changed decisions"] = found.changed_decisions
    values["held-out samples"] = float(found.held_out)
    name = "max pooling replaced, weights behind it calibrated in closed form"
    return found.graph, StepRecord(name, time.perf_counter() - started, values)
