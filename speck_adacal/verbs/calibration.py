"""A rewritten network calibrated in time steps, for one way of its biases."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from speck_adacal.adaptation import adapt_graph
from speck_adacal.adaptation.pipeline import run_plan
from speck_adacal.adaptation.plan import AdaptPlan
from speck_adacal.ann.graph import LayerGraph
from speck_adacal.inspection.levels import decide_ann, decide_snn
from speck_adacal.recipe.recipe import AdaptSettings, StepRecord
from speck_adacal.recipe.verdict import share_right
from speck_adacal.rewriting.rewrite import Rewriting, Target, rewrite_biases
from speck_adacal.samples.batches import Batches
from speck_adacal.snn.adapted import AdaptedNetwork
from speck_adacal.twin_search.bases import Base, base_of

_LEAST_AGREEMENT = 0.9  # of the spiking network with the trained one, for one threshold a layer
_WORTH_CHANNELS = 0.03  # share of decisions that thresholds for each channel must win


def calibrated(
    graph: LayerGraph,
    shaped: Rewriting,
    batches: Batches,
    settings: AdaptSettings,
    target: Target,
    plan: AdaptPlan | None = None,
    folder: Path | None = None,
) -> Base:
    """The network calibrated in time steps, for one way of its biases.

    Args:
        graph: the traced network.
        shaped: the same rewritten for cores.
        batches: the calibration set, encoded.
        settings, plan, folder: as for `adapt`.
        target: the chip.
    """
    rewriting = rewrite_biases(shaped, batches, settings, target)
    batches = replace(batches, constant=rewriting.constant)
    if plan is None:
        recipe, changed = adapt_graph(rewriting.graph, batches, settings)
    else:
        plan = replace(plan, exit_early=False)
        result = run_plan(rewriting.graph, batches, settings, plan, folder=folder).result
        recipe, changed = result.recipe, result.graph
    recipe = replace(
        recipe,
        input_amplitude=batches.amplitude,
        constant=rewriting.constant,
        trace=(*rewriting.trace, *recipe.trace),
    )
    rewritten = None if rewriting.graph is graph else rewriting.graph
    return base_of(AdaptedNetwork(graph, changed, recipe, rewritten), batches)


def finer(
    base: Base, graph: LayerGraph, shaped: Rewriting, batches: Batches, target: Target
) -> Base:
    """The base with a threshold for each channel, where one a layer loses far too much.

    Depthwise convolutions and batch norm leave channels of very different ranges.
    """
    settings = base.adapted.recipe.settings
    few = range(min(batches.samples, settings.correction_samples))
    if settings.per_channel or (kept := _agreement(base, few)) >= _LEAST_AGREEMENT:
        return base
    started = time.perf_counter()
    finer = calibrated(graph, shaped, batches, replace(settings, per_channel=True), target)
    found = _agreement(finer, few)
    if found < kept + _WORTH_CHANNELS:
        return base
    values = {"agreement per layer": kept, "agreement per channel": found}
    record = StepRecord("thresholds per channel", time.perf_counter() - started, values)
    recipe = finer.adapted.recipe
    recipe = replace(recipe, trace=(*recipe.trace, record))
    return replace(finer, adapted=replace(finer.adapted, recipe=recipe))


def _agreement(base: Base, samples: Sequence[int]) -> float:
    """Share of samples that the time-stepped network decides as the trained one does."""
    batches = base.batches.part(samples)
    both = (decide_snn(base.adapted, batches), decide_ann(base.adapted, batches))
    spiking, trained = (np.concatenate(list(found)) for found in both)
    return share_right(spiking, trained)
