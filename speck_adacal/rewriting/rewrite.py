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


def rewrite(graph: LayerGraph, batches: Batches, settings: AdaptSettings) -> Rewriting:
    """Rewrite a traced network so that a chip can compute it.

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
    description = load_chip_description()
    limits = description.limits
    graph = merge_sums(merge_linear_maps(graph, limits), limits)
    trace: tuple[StepRecord, ...] = ()
    if settings.max_pooling == "refit" and graph.of_kind(Kind.MAX_POOL):
        graph, record = _without_max_pooling(graph, batches, settings)
        graph, trace = merge_linear_maps(graph, limits), (record,)
    if settings.bias != "events":
        return Rewriting(split_large_layers(graph, description), trace=trace)
    found = carry_biases(graph, rate=settings.constant_rate, amplitude=batches.amplitude)
    if found is None:
        return Rewriting(split_large_layers(graph, description), trace=trace)
    values = {f"relayed by:{name}": 1.0 for name in found.relays}
    values |= {f"bias of:{name}": 1.0 for name in found.carried}
    values["constant events a step"] = float(found.constant.events_per_step)
    constant = replace(found.constant, step_us=batches.step_us)
    graph = split_large_layers(found.graph, description)
    return Rewriting(graph, constant, (*trace, StepRecord("biases by events", 0.0, values)))


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
