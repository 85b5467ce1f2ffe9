"""Accuracy against SynOps on the chip: the front, its points, and networks under one of them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from speck_adacal.chip.deploy import deploy_network
from speck_adacal.chip.fitting import target_chip
from speck_adacal.chip.simulation import run_on_twin
from speck_adacal.chip_description import DEFAULT_CHIP
from speck_adacal.events.labels import checked_labels
from speck_adacal.inspection.before_after import BeforeAfter, point_figures
from speck_adacal.inspection.judging import measure_verdict
from speck_adacal.rewriting.rewrite import Rewriting, Target, rewrite_for_cores
from speck_adacal.samples.batches import Batches, Form, encode_for
from speck_adacal.snn.adapted import AdaptedNetwork
from speck_adacal.twin_search.bases import Base
from speck_adacal.twin_search.correction import correct_on_twin
from speck_adacal.twin_search.descent import FEWEST
from speck_adacal.twin_search.estimators import StepEstimate, time_stepped
from speck_adacal.twin_search.front import Front, FrontPoint
from speck_adacal.twin_search.front_search import (
    MOST_OTHERS,
    FrontSettings,
    Start,
    best_at_prices,
    find_front,
)
from speck_adacal.twin_search.linear_fit import fit_linear_layers, was_fitted
from speck_adacal.twin_search.log_loss import log_loss, one_hot
from speck_adacal.twin_search.progress import Counter, Progress
from speck_adacal.twin_search.targets import reference_decisions
from speck_adacal.verbs.calibration import calibrated

_SCREENED = 96  # samples that choose among other time steps and bursts


def front(
    adapted: AdaptedNetwork,
    calibration: Any,
    labels: Any = None,
    *,
    settings: FrontSettings | None = None,
    chip: str = DEFAULT_CHIP,
    progress: Progress | None = None,
) -> Front:
    """Adapt further with the chip twin in the loop: the front of accuracy and SynOps.

    Thresholds and initial potentials are searched from the network as it is, and of images also
    from the same adapted for fewer time steps and smaller input bursts: input events set a floor.

    Args:
        adapted: the result of `adapt`, where the search starts.
        calibration: recordings, or images, as for `adapt`; a few hundred.
        labels: int `[n]`; without them the trained network's own decisions are the target.
        settings: see `FrontSettings`.
        chip: a name of `known_chips()`.
        progress: told how many of how many steps are done, and the next one; of the descents the
            most there may be, for a start that another beats is not searched from.

    Raises:
        CalibrationError: too few samples, of a wrong shape, or another number of labels.
        ModelError: the chip cannot run the network.
    """
    settings = settings or FrontSettings()
    batches = encode_for(calibration, adapted.ann.input_shape, adapted.recipe)
    if labels is None:
        targets = reference_decisions(adapted, batches)
    else:
        targets = checked_labels(labels, batches.samples)
    variants = _variants(adapted, batches, settings) if batches.samples >= FEWEST else []
    descents = len(settings.prices) * (1 + min(len(variants), MOST_OTHERS))
    counter = Counter(len(variants) + descents, progress)
    others = _starts(adapted, batches, targets, variants, settings, chip, counter)
    counter.begin("first descent")
    return find_front(
        adapted,
        batches.recordings(),
        targets,
        settings=settings,
        chip=chip,
        others=others,
        note=counter.begin,
        as_it_came=not (others and was_fitted(adapted)),
    )


def _variants(
    adapted: AdaptedNetwork, batches: Batches, settings: FrontSettings
) -> list[tuple[int, int]]:
    """Time steps and input bursts to try beside the network's own; bursts are of images only, and
    so are costs that time steps save. Its own are among them where its linear layers were fitted:
    they are fitted again, to none of the samples that choose."""
    own = adapted.recipe.settings
    if batches.form not in (Form.IMAGES, Form.RECORDINGS):
        return []
    images = batches.form is Form.IMAGES
    parts = tuple(own.time_steps * part // 4 for part in (3, 2, 1)) if images else ()
    steps = parts if settings.time_steps is None else settings.time_steps
    half = (own.input_burst // 2,)
    bursts = half if settings.input_bursts is None else settings.input_bursts
    both = ((own.time_steps, *steps), (own.input_burst, *(bursts if images else ())))
    found = {(t, b) for t, b in itertools.product(*both) if t and b}
    same = {(own.time_steps, own.input_burst)}
    return sorted(found if was_fitted(adapted) else found - same, reverse=True)


def _starts(
    adapted: AdaptedNetwork,
    batches: Batches,
    targets: npt.NDArray[np.int64],
    variants: Sequence[tuple[int, int]],
    settings: FrontSettings,
    chip: str,
    counter: Counter,
) -> list[Start]:
    """The network adapted for those of the variants that are worth a search, on nothing but what
    the search may see."""
    if not variants:
        return []
    split = settings.split(batches.samples)
    seen, wanted = batches.part(split.fit.tolist()), targets[split.fit]
    target = target_chip(chip)
    shaped = rewrite_for_cores(adapted.ann, seen, adapted.recipe.settings, target)
    bases = []
    for steps, burst in variants:
        counter.begin(f"adapting it for {steps} time steps and bursts of {burst}")
        bases.append(_base(adapted, shaped, seen, target, steps, burst))
    begins = [_begin(base, wanted, chip) for base in bases]
    chosen = [bases[i] for i in best_at_prices(begins, settings.prices)]
    return [_start(base, batches, wanted, chip) for base in chosen]


def _base(
    adapted: AdaptedNetwork,
    shaped: Rewriting,
    seen: Batches,
    target: Target,
    time_steps: int,
    burst: int,
) -> Base:
    """The network calibrated once more, for other time steps and bursts, under the policies that it
    has."""
    own = adapted.recipe
    way = "leak" if any(layer.leaks for layer in own.layers) else "initial"
    settings = replace(
        own.settings,
        time_steps=time_steps,
        input_burst=burst,
        bias=way if own.constant is None else "events",
    )
    base = calibrated(
        adapted.ann, shaped, replace(seen, settings=settings, constant=None), settings, target
    )
    layers = tuple(
        replace(layer, lower_clip=own[layer.name].lower_clip, leaks=own[layer.name].leaks)
        for layer in base.adapted.recipe.layers
    )
    recipe = replace(base.adapted.recipe, layers=layers)
    return replace(base, adapted=replace(base.adapted, recipe=recipe))


def _begin(base: Base, targets: npt.NDArray[np.int64], chip: str) -> tuple[float, float]:
    """SynOps and log loss of a network before any correction on the twin, on a few samples."""
    few = min(base.batches.samples, _SCREENED)
    deployment = deploy_network(base.adapted, chip=chip)
    run = run_on_twin(deployment, base.batches.between(0, few).recordings())
    wanted = one_hot(targets[:few], deployment.classes)
    return float(run.synops.mean()), log_loss(run.class_counts, wanted)


def _start(base: Base, batches: Batches, targets: npt.NDArray[np.int64], chip: str) -> Start:
    """A calibrated network corrected on the twin, and all samples as it sees them."""
    network, settings = base.adapted, base.adapted.recipe.settings
    few = min(base.batches.samples, settings.correction_samples)
    if settings.chip_correction:
        part = base.batches.between(0, few)
        network = correct_on_twin(network, part, targets[:few], chip=chip)
        network = fit_linear_layers(network, base.batches, targets, chip=chip)
    everything = replace(batches, settings=settings, constant=network.recipe.constant)
    return Start(network, everything.recordings())


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
    indices = found.held_out_indices
    batches = encode_for(calibration, adapted.ann.input_shape, adapted.recipe)
    targets = reference_decisions(adapted, batches.part(indices))
    if labels is not None:
        targets = np.asarray(labels)[list(indices)]
    seen = [
        encode_for(calibration, adapted.ann.input_shape, point.recipe).part(indices)
        for point in found.points
    ]
    return tuple(
        time_stepped(point, part, targets) for point, part in zip(found.points, seen, strict=True)
    )


def before_and_after(
    adapted: AdaptedNetwork, found: Front, point: FrontPoint, calibration: Any
) -> BeforeAfter:
    """The network as it came beside a point of its front, with the load of the busiest core.

    Args:
        adapted: what the front was searched from.
        found: the result of `front`.
        point: one of its points, such as `found.choose()`.
        calibration: as given to `front`.
    """
    held_out = found.held_out_indices
    before, after = (
        point_figures(
            which,
            encode_for(calibration, adapted.ann.input_shape, which.recipe)
            .part(held_out)
            .recordings(),
            found.chip,
        )
        for which in (found.start, point)
    )
    return BeforeAfter(before, after, len(held_out))


def with_front_point(adapted: AdaptedNetwork, point: FrontPoint) -> AdaptedNetwork:
    """The network under the recipe of a point of its front, ready for `deploy`."""
    return replace(point.network, ann=adapted.ann)


def judged(
    adapted: AdaptedNetwork,
    samples: Any,
    labels: Any = None,
    *,
    held_out: Sequence[int],
    chip: str = DEFAULT_CHIP,
) -> AdaptedNetwork:
    """The network with a verdict in its recipe: what it keeps of the trained network's accuracy.

    One that came spiking has no trained network beside it, and no verdict.

    Args:
        adapted: the network.
        samples, labels: as for `adapt`.
        held_out: indices of the samples to judge on, on which nothing of the recipe was found.
        chip: a name of `known_chips()`.
    """
    if adapted.recipe.came_spiking:
        return adapted
    part = encode_for(samples, adapted.ann.input_shape, adapted.recipe).part(held_out)
    truth = None if labels is None else np.asarray(labels)[list(held_out)]
    verdict = measure_verdict(adapted, part, truth, held_out=True, chip=chip)
    return replace(adapted, recipe=replace(adapted.recipe, verdict=verdict))
