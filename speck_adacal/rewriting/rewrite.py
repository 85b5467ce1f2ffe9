"""The rewritings of a network before it is adapted, in their order."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from speck_adacal.ann.graph import Kind, LayerGraph
from speck_adacal.ann.rewriting import merge_linear_maps
from speck_adacal.chip_description import load_chip_description
from speck_adacal.events.constant import ConstantChannel
from speck_adacal.recipe.recipe import AdaptSettings, StepRecord
from speck_adacal.rewriting.bias_events import carry_biases
from speck_adacal.rewriting.max_pooling import without_max_pooling
from speck_adacal.rewriting.splitting import split_large_layers
from speck_adacal.rewriting.sums import merge_sums
from speck_adacal.samples.batches import Batches


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


def rewrite_for_cores(graph: LayerGraph, batches: Batches, settings: AdaptSettings) -> Rewriting:
    """Rewrite what no core can do as what one can: linear maps, sums and max pooling.

    Args:
        graph: the traced network; never changed.
        batches: the calibration set.
        settings: what may be rewritten.

    Raises:
        CalibrationError: too few samples for what has to be fitted.
        ModelError: what has to be fitted loses more than the settings allow.
    """
    if settings.input_coding != "events":
        return Rewriting(graph)
    limits = load_chip_description().limits
    graph = merge_sums(merge_linear_maps(graph, limits), limits)
    if settings.max_pooling != "refit" or not graph.of_kind(Kind.MAX_POOL):
        return Rewriting(graph)
    graph, record = _without_max_pooling(graph, batches, settings)
    return Rewriting(merge_linear_maps(graph, limits), trace=(record,))


def rewrite_biases(found: Rewriting, batches: Batches, settings: AdaptSettings) -> Rewriting:
    """Carry biases by events, where the settings ask for it, and share out too large layers.

    Args:
        found: the result of `rewrite_for_cores`.
        batches: the calibration set.
        settings: how biases reach the chip.
    """
    if settings.input_coding != "events":
        return found
    description = load_chip_description()
    carried = None
    if settings.bias == "events":
        carried = carry_biases(
            found.graph, rate=settings.constant_rate, amplitude=batches.amplitude
        )
    if carried is None:
        return replace(found, graph=split_large_layers(found.graph, description))
    values = {f"relayed by:{name}": 1.0 for name in carried.relays}
    values |= {f"bias of:{name}": 1.0 for name in carried.carried}
    values["constant events a step"] = float(carried.constant.events_per_step)
    return Rewriting(
        graph=split_large_layers(carried.graph, description),
        constant=replace(carried.constant, step_us=batches.step_us),
        trace=(*found.trace, StepRecord("biases by events", 0.0, values)),
    )


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
