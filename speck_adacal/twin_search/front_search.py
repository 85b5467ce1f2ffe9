"""The Pareto front of accuracy and SynOps on the chip, searched with the twin in the loop.

Coordinate descent on thresholds and initial potentials, of layers and of their channels, under a
rising price of SynOps. Every recipe that was tried is a candidate for the front; a part of the
recordings that the search never sees tells what each is worth.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import Field

from speck_adacal.chip_description import DEFAULT_CHIP
from speck_adacal.errors import CalibrationError
from speck_adacal.events.labels import checked_labels
from speck_adacal.events.types import Events
from speck_adacal.snn.adapted import AdaptedNetwork
from speck_adacal.twin_search.candidate import Candidate
from speck_adacal.twin_search.candidate_runs import TwinEvaluator
from speck_adacal.twin_search.descent import FEWEST, Descent, Steps
from speck_adacal.twin_search.front import Front, FrontPoint, non_dominated, thinned
from speck_adacal.validation import (
    Count,
    CountOrZero,
    OneOrMore,
    Positive,
    PositiveOrZero,
    checked,
)

Note = Callable[[str], None]
Factor = Annotated[float, Field(gt=1)]


@checked
class FrontSettings:
    """How the front is searched.

    Attributes:
        prices: log loss that a doubling of the SynOps may cost, one descent for each, in order.
        rounds: of a descent; where a round finds nothing the steps are halved.
        factor: first step of thresholds.
        shift: first step of initial potentials, in thresholds.
        channel_factor: step of a single channel's threshold, for which the next layer makes up;
            None searches layers only, which is faster.
        held_out: share of the recordings that the search does not see.
        points: the most points of the front.
        seed: of the split.

    Raises:
        SettingsError: a field is out of range.
    """

    prices: OneOrMore[PositiveOrZero] = (0.02, 0.06, 0.15, 0.25, 0.4)
    rounds: Count = 2
    factor: Factor = 1.25
    shift: Positive = 0.25
    channel_factor: Factor | None = 1.5
    held_out: Annotated[float, Field(gt=0, lt=1)] = 0.3
    points: Count = 12
    seed: CountOrZero = 0

    @property
    def steps(self) -> Steps:
        """Sizes of the moves."""
        return Steps(self.rounds, self.factor, self.shift, self.channel_factor)


def find_front(
    adapted: AdaptedNetwork,
    recordings: Sequence[Events],
    labels: npt.ArrayLike,
    *,
    settings: FrontSettings | None = None,
    chip: str = DEFAULT_CHIP,
    threads: int | None = None,
    note: Note | None = None,
) -> Front:
    """Search the front of a network on recordings.

    No weight is trained: only thresholds and initial potentials change.

    Args:
        adapted: the calibrated network, where the search starts.
        recordings: calibration recordings, of the network's input shape.
        labels: int `[n]`, the true classes or a reference's decisions.
        settings: see `FrontSettings`.
        chip: a name of `chip_description.known_chips()`.
        threads: of the twin; by default one a processor.
        note: told in words what was found, descent by descent.

    Raises:
        CalibrationError: fewer than 20 recordings, or another number of labels.
        ModelError: the chip cannot run the network.
    """
    settings = settings or FrontSettings()
    if len(recordings) < FEWEST:
        raise CalibrationError(
            f"A front needs at least {FEWEST} recordings, found {len(recordings)}; give more."
        )
    truth = checked_labels(labels, len(recordings))
    order = np.random.default_rng(settings.seed).permutation(len(recordings))
    hold, fit = np.split(order, [max(1, round(settings.held_out * len(order)))])
    runner = TwinEvaluator(adapted, [recordings[i] for i in fit], chip=chip, threads=threads)
    checked_labels(truth, len(truth), runner.classes)
    descent = Descent(adapted.recipe, runner, truth[fit], settings.steps)
    best = descent.start()
    for price in settings.prices:  # each from where the last one ended
        best = descent.descend(best, price)
        if note:
            note(
                f"price {price:g}: {descent.share_right(best):.1%} at "
                f"{descent.tried[best].mean_synops / 1e6:.2f} M SynOps, "
                f"{runner.evaluations:.0f} recipes run"
            )
    # A twin of its own: nothing of the held-out part is known to the search.
    judge = TwinEvaluator(adapted, [recordings[i] for i in hold], chip=chip, threads=threads)
    points = tuple(
        FrontPoint.measured(
            recipe := candidate.apply(adapted.recipe),
            descent.loss(candidate),
            descent.tried[candidate],
            judge.run(recipe),
            truth[hold],
            judge.names,
        )
        for candidate in _front_of(descent, settings.points)
    )
    spent = round(runner.evaluations + judge.evaluations)
    return Front(points, chip, spent, len(fit), tuple(hold.tolist()))


def _front_of(descent: Descent, points: int) -> list[Candidate]:
    """The non-dominated candidates, by rising SynOps, at most so many."""
    candidates = list(descent.tried)
    synops = np.array([descent.tried[c].mean_synops for c in candidates])
    losses = np.array([descent.loss(c) for c in candidates])
    best = non_dominated(synops, losses)
    return [candidates[i] for i in best[thinned(synops[best], points)]]
