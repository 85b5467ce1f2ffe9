"""What a network needs that is never reset: a lower clip, so that inhibition is forgotten.

A neuron with an open lower clip remembers for ever what inhibited it. With a reset before each
sample that is exact bookkeeping; on a stream it silences the network within a few recordings. The
clip is chosen on calibration recordings on end, with states carried over: one for all layers
first, then layer by layer.
"""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from speck_adacal.chip_description import DEFAULT_CHIP
from speck_adacal.errors import DesignRuleError, ModelError
from speck_adacal.recipe.recipe import Recipe, StepRecord
from speck_adacal.samples.batches import Batches
from speck_adacal.snn.adapted import AdaptedNetwork
from speck_adacal.twin_search.candidate_runs import TwinEvaluator
from speck_adacal.twin_search.descent import FEWEST, Descent, Steps
from speck_adacal.twin_search.log_loss import log_loss, one_hot
from speck_adacal.twin_search.targets import reference_decisions

CLIPS = (0.25, 0.35, 0.5, 0.7, 1.0)
"""Tried for all layers at once, in firing thresholds below zero."""
_PRICE = 0.12  # log loss that a doubling of SynOps may cost
_STREAMS = 4  # that the recordings are put on, so that both threads have work
_STEPS = Steps(rounds=1, factor=1.25, shift=0.0, clip=1.5, channel_factor=None)


def fit_to_stream(
    adapted: AdaptedNetwork,
    batches: Batches,
    labels: npt.ArrayLike | None = None,
    *,
    chip: str = DEFAULT_CHIP,
) -> AdaptedNetwork:
    """Choose lower clips and thresholds for a stream that is never reset.

    Args:
        adapted: the calibrated network.
        batches: the calibration set, recordings of events.
        labels: int `[n]`, the decisions to come closer to; the trained network's without them.
        chip: a name of `chip_description.known_chips()`.

    Returns:
        The network with lower clips; where it cannot be deployed, with a clip of half a threshold
        and a record that says why.
    """
    started = time.perf_counter()
    wanted = reference_decisions(adapted, batches) if labels is None else np.asarray(labels)
    recordings = batches.recordings()
    try:
        each = max(1, -(-len(recordings) // _STREAMS))
        runner = TwinEvaluator(adapted, recordings, chip=chip, on_end=each)
    except (ModelError, DesignRuleError) as error:
        record = StepRecord(f"fit to a stream left out: {error}", 0.0)
        return _with(adapted, _clipped(adapted.recipe, 0.5), record)
    targets = one_hot(wanted, runner.classes)
    tried = {clip: runner.run(_clipped(adapted.recipe, clip)) for clip in CLIPS}
    losses = {clip: log_loss(found.counts, targets) for clip, found in tried.items()}
    best = min(CLIPS, key=lambda clip: losses[clip] + _PRICE * np.log2(tried[clip].mean_synops + 1))
    recipe, values = _clipped(adapted.recipe, best), {"clip of all layers": best}
    if len(recordings) >= FEWEST:
        descent = Descent(recipe, runner, np.asarray(wanted, dtype=np.int64), _STEPS)
        found = descent.descend(descent.start(), _PRICE)
        recipe = found.apply(recipe)
        values["share right"] = descent.share_right(found)
        values["synops"] = descent.tried[found].mean_synops
    values |= {f"clip:{layer.name}": float(layer.lower_clip or 0) for layer in recipe.layers}
    record = StepRecord("fit to a stream", time.perf_counter() - started, values)
    return _with(adapted, recipe, record)


def _clipped(recipe: Recipe, clip: float) -> Recipe:
    return replace(recipe, layers=tuple(replace(x, lower_clip=clip) for x in recipe.layers))


def _with(adapted: AdaptedNetwork, recipe: Recipe, record: StepRecord) -> AdaptedNetwork:
    return replace(adapted, recipe=replace(recipe, trace=(*recipe.trace, record)))
