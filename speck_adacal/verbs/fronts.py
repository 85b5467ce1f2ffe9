"""Accuracy against SynOps on the chip: the front, its points, and networks under one of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from speck_adacal.chip_description import DEFAULT_CHIP
from speck_adacal.inspection.verdict import measure_verdict
from speck_adacal.samples.batches import encode_for
from speck_adacal.snn.adapted import AdaptedNetwork
from speck_adacal.twin_search.estimators import StepEstimate, time_stepped
from speck_adacal.twin_search.front import Front, FrontPoint
from speck_adacal.twin_search.front_search import FrontSettings, find_front
from speck_adacal.twin_search.targets import reference_decisions


def front(
    adapted: AdaptedNetwork,
    calibration: Any,
    labels: Any = None,
    *,
    settings: FrontSettings | None = None,
    chip: str = DEFAULT_CHIP,
) -> Front:
    """Adapt further with the chip twin in the loop: the front of accuracy and SynOps.

    Args:
        adapted: the result of `adapt`, where the search starts.
        calibration: recordings, or images, as for `adapt`; a few hundred.
        labels: int `[n]`; without them the trained network's own decisions are the target.
        settings: see `FrontSettings`.
        chip: a name of `known_chips()`.

    Raises:
        CalibrationError: too few samples, of a wrong shape, or another number of labels.
        ModelError: the chip cannot run the network.
    """
    batches = encode_for(calibration, adapted.ann.input_shape, adapted.recipe)
    targets = reference_decisions(adapted, batches) if labels is None else labels
    return find_front(adapted, batches.recordings(), targets, settings=settings, chip=chip)


def front_in_steps(
    adapted: AdaptedNetwork, found: Front, calibration: Any, labels: Any = None
) -> tuple[StepEstimate, ...]:
    """The points of a front by the time-stepped estimator, with the gap to the twin by layer, on
    the same held-out samples.

    Args:
        adapted: what the front was searched from.
        found: the result of `front`.
        calibration, labels: as given there.
    """
    batches = encode_for(calibration, adapted.ann.input_shape, adapted.recipe)
    part = batches.part(found.held_out_indices)
    targets = reference_decisions(adapted, part)
    if labels is not None:
        targets = np.asarray(labels)[list(found.held_out_indices)]
    return tuple(time_stepped(adapted, point, part, targets) for point in found.points)


def with_front_point(adapted: AdaptedNetwork, point: FrontPoint) -> AdaptedNetwork:
    """The network under the recipe of a point of its front, ready for `deploy`."""
    return replace(adapted, recipe=point.recipe)


def judged(
    adapted: AdaptedNetwork,
    samples: Any,
    labels: Any = None,
    *,
    held_out: Sequence[int],
    chip: str = DEFAULT_CHIP,
) -> AdaptedNetwork:
    """The network with a verdict in its recipe: what it keeps of the trained network's accuracy.

    Args:
        adapted: the network.
        samples, labels: as for `adapt`.
        held_out: indices of the samples to judge on, on which nothing of the recipe was found.
        chip: a name of `known_chips()`.
    """
    part = encode_for(samples, adapted.ann.input_shape, adapted.recipe).part(held_out)
    truth = None if labels is None else np.asarray(labels)[list(held_out)]
    verdict = measure_verdict(adapted, part, truth, held_out=True, chip=chip)
    return replace(adapted, recipe=replace(adapted.recipe, verdict=verdict))
