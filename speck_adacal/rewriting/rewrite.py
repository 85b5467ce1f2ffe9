"""The rewritings of a network before it is adapted, in their order."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from speck_adacal.ann.graph import LayerGraph
from speck_adacal.events.constant import ConstantChannel
from speck_adacal.recipe.recipe import AdaptSettings, StepRecord
from speck_adacal.rewriting.bias_events import carry_biases
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


def rewrite(
    graph: LayerGraph, batches: Batches, settings: AdaptSettings, labels: Any = None
) -> Rewriting:
    """Rewrite a traced network so that a chip can compute it.

    Args:
        graph: the traced network; never changed.
        batches: the calibration set.
        settings: what may be rewritten.
        labels: int `[n]`, or None.
    """
    if settings.bias != "events" or settings.input_coding != "events":
        return Rewriting(graph)
    found = carry_biases(graph, rate=settings.constant_rate, amplitude=batches.amplitude)
    if found is None:
        return Rewriting(graph)
    values = {f"relayed by:{name}": 1.0 for name in found.relays}
    values |= {f"bias of:{name}": 1.0 for name in found.carried}
    values["constant events a step"] = float(found.constant.events_per_step)
    constant = replace(found.constant, step_us=batches.step_us)
    return Rewriting(found.graph, constant, (StepRecord("biases by events", 0.0, values),))
