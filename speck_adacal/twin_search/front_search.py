"""The Pareto front of accuracy and SynOps on the chip, searched with the twin in the loop.

Coordinate descent on thresholds and initial potentials, of layers and of their channels, under a
rising price of SynOps. Every recipe that was tried is a candidate for the front; a part of the
recordings that the search never sees tells what each is worth.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
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
from speck_adacal.twin_search.front import Front, FrontPoint, Judged, non_dominated, thinned
from speck_adacal.validation import (
    Count,
    CountOrZero,
    OneOrMore,
    Positive,
    PositiveOrZero,
    Several,
    checked,
)

_FINE_CLIP = 1.5
_ON_END = 25
"""Recordings of a stream in the search: long enough that its start does not matter, short enough
that a candidate can be judged by some of the streams."""
Note = Callable[[str], None]
_FITTED = 2  # times the recordings searched on: so many are worth fitting networks on
MOST_OTHERS = 3  # starts searched beside the network's own
Factor = Annotated[float, Field(gt=1)]


@checked
class FrontSettings:
    """How the front is searched.

    Attributes:
        time_steps: numbers of time steps to try beside the network's own; None: for images three
            quarters, a half and a quarter of these. With fewer, an image costs fewer input events.
        input_bursts: the same for the events that a pixel of an image may send in a step; None: a
            half.
        prices: log loss that a doubling of the SynOps may cost, one descent for each, in order.
        rounds: of a descent; where a round finds nothing the steps are halved.
        factor: first step of thresholds.
        shift: first step of initial potentials, in thresholds.
        channel_factor: step of a single channel's threshold, for which the next layer makes up;
            None searches layers only, which is faster.
        held_out: share of the recordings that the search does not see: half of them choose among
            the points, the other half measure them.
        searched: the most recordings that candidates run on; of more, the others serve to
            calibrate the network for other time steps and bursts.
        points: the most points of the front.
        seed: of the split.

    Raises:
        SettingsError: a field is out of range.
    """

    time_steps: Several[Count] | None = None
    input_bursts: Several[Count] | None = None
    prices: OneOrMore[PositiveOrZero] = (0.02, 0.06, 0.15, 0.25, 0.4)
    rounds: Count = 2
    factor: Factor = 1.25
    shift: Positive = 0.25
    channel_factor: Factor | None = 1.5
    held_out: Annotated[float, Field(gt=0, lt=1)] = 0.3
    searched: Count = 300
    points: Count = 12
    seed: CountOrZero = 0

    @property
    def steps(self) -> Steps:
        """Sizes of the moves."""
        return Steps(self.rounds, self.factor, self.shift, self.channel_factor)

    @property
    def faster_steps(self) -> Steps:
        """The same for layers only."""
        return Steps(self.rounds, self.factor, self.shift, None)

    def split(self, samples: int) -> Split:
        """Which samples measure, which choose, and which are searched on."""
        order = np.random.default_rng(self.seed).permutation(samples)
        unseen = min(max(2, round(self.held_out * samples)), samples - 1)
        spare = samples - _FITTED * self.searched  # of very many, more choose
        measure, choose, fit = np.split(order, [unseen // 2, max(unseen, spare)])
        return Split(measure, choose, fit, fit[: max(FEWEST, self.searched)])


@dataclass(frozen=True, eq=False)
class Split:
    """Indices of samples, int64: of those that measure, that choose, that networks are fitted on,
    and of those among these that are searched on."""

    measure: npt.NDArray[np.int64]
    choose: npt.NDArray[np.int64]
    fit: npt.NDArray[np.int64]
    search: npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Start:
    """Where a search starts: a calibrated network, and the recordings as it sees them."""

    adapted: AdaptedNetwork
    recordings: Sequence[Events]


def find_front(
    adapted: AdaptedNetwork,
    recordings: Sequence[Events],
    labels: npt.ArrayLike,
    *,
    settings: FrontSettings | None = None,
    chip: str = DEFAULT_CHIP,
    others: Sequence[Start] = (),
    as_it_came: bool = True,
    threads: int | None = None,
    note: Note | None = None,
) -> Front:
    """Search the front of a network on recordings.

    No weight is trained: only thresholds, lower clips and initial potentials change. A network that
    was adapted for a stream is judged on recordings on end, with states carried over; its initial
    potentials stay.

    Args:
        adapted: the calibrated network, where the search starts.
        recordings: calibration recordings, of the network's input shape.
        labels: int `[n]`, the true classes or a reference's decisions.
        settings: see `FrontSettings`.
        chip: a name of `chip_description.known_chips()`.
        others: further starts, such as the network adapted for fewer time steps.
        as_it_came: whether the network itself is searched from, too; without it, it is measured
            only. Say no where its weights were fitted to recordings that choose and measure here.
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
    split = settings.split(len(recordings))
    starts = (Start(adapted, recordings), *others)
    searches = [
        _Search(start, split, truth, settings.faster_steps if i else settings.steps, chip, threads)
        for i, start in enumerate(starts)
    ]
    checked_labels(truth, len(truth), searches[0].runner.classes)
    entered = searches if as_it_came else searches[1:]
    for search in _worth_searching(entered, settings.prices, first=as_it_came):
        search.descend(settings.prices, note)
    tried = [(search, candidate) for search in entered for candidate in search.descent.tried]
    synops = np.array([search.descent.tried[c].mean_synops for search, c in tried])
    losses = np.array([search.descent.loss(c) for search, c in tried])
    best = non_dominated(synops, losses)
    chosen = [tried[i] for i in best[thinned(synops[best], settings.points)]]
    points = tuple(search.point(candidate) for search, candidate in chosen)
    return Front(
        start=searches[0].point(searches[0].descent.start()),
        points=points,
        chip=chip,
        evaluations=round(sum(search.evaluations for search in searches)),
        searched=len(split.search),
        choosing=len(split.choose),
        held_out_indices=tuple(split.measure.tolist()),
    )


class _Search:
    """The search from one start, and the judge of what it finds."""

    def __init__(
        self,
        start: Start,
        split: Split,
        truth: npt.NDArray[np.int64],
        steps: Steps,
        chip: str,
        threads: int | None,
    ) -> None:
        self._start, self._chip, self._threads = start, chip, threads
        self._split, self._truth = split, truth
        recordings = [start.recordings[i] for i in split.search]
        self._never_reset = start.adapted.recipe.settings.never_reset
        each = _ON_END if self._never_reset else 1
        self.runner = TwinEvaluator(
            start.adapted, recordings, chip=chip, threads=threads, on_end=each
        )
        steps = _for_streams(steps) if self._never_reset else steps
        self.descent = Descent(start.adapted.recipe, self.runner, truth[split.search], steps)
        self.descent.finish(self.descent.start())
        self._judges: tuple[TwinEvaluator, ...] = ()

    @property
    def evaluations(self) -> float:
        return sum(runner.evaluations for runner in (self.runner, *self._judges))

    @property
    def begin(self) -> tuple[float, float]:
        """SynOps and log loss of the start."""
        start = self.descent.start()
        return self.descent.tried[start].mean_synops, self.descent.loss(start)

    def descend(self, prices: Sequence[float], note: Note | None) -> None:
        best = self.descent.start()
        for price in prices:  # each from where the last one ended
            best = self.descent.descend(best, price)
            if note:
                settings = self._start.adapted.recipe.settings
                note(
                    f"T = {settings.time_steps}, bursts of {settings.input_burst}, price "
                    f"{price:g}: {self.descent.share_right(best):.1%} at "
                    f"{self.descent.tried[best].mean_synops / 1e6:.2f} M SynOps, "
                    f"{self.runner.evaluations:.0f} recipes run"
                )

    def point(self, candidate: Candidate) -> FrontPoint:
        adapted, split, truth = self._start.adapted, self._split, self._truth
        if not self._judges:  # twins of their own: the search knows nothing of these recordings
            self._judges = (self._judge(split.choose), self._judge(split.measure))
        recipe = candidate.apply(adapted.recipe)
        chose, held_out = (judge.run(recipe) for judge in self._judges)
        return FrontPoint.measured(
            replace(adapted, recipe=recipe),
            Judged(self.descent.tried[candidate], truth[split.search]),
            Judged(chose, truth[split.choose]),
            Judged(held_out, truth[split.measure]),
            self.runner.names,
        )

    def _judge(self, which: npt.NDArray[np.int64]) -> TwinEvaluator:
        recordings = [self._start.recordings[i] for i in which]
        each = len(recordings) if self._never_reset else 1
        return TwinEvaluator(
            self._start.adapted, recordings, chip=self._chip, threads=self._threads, on_end=each
        )


def _for_streams(steps: Steps) -> Steps:
    """Moves of a network that is never reset: none of initial potentials, which are worth nothing,
    and finer ones of the lower clip, which decides how long inhibition is remembered."""
    return replace(steps, shift=0.0, clip=_FINE_CLIP)


def _worth_searching(
    searches: Sequence[_Search], prices: Sequence[float], *, first: bool
) -> list[_Search]:
    """Those whose starts are best at some price, and where wanted the first one."""
    best = best_at_prices([search.begin for search in searches], prices)
    return [search for i, search in enumerate(searches) if i in best or (first and i == 0)]


def best_at_prices(
    begins: Sequence[tuple[float, float]], prices: Sequence[float]
) -> tuple[int, ...]:
    """Which of several networks are the best at some price of SynOps; at most three.

    Args:
        begins: SynOps and log loss of each.
        prices: log loss that a doubling of the SynOps may cost.
    """
    synops, losses = np.array(begins, dtype=np.float64).reshape(-1, 2).T
    doublings = np.log2(np.maximum(synops, 1.0))
    best = dict.fromkeys(int(np.argmin(losses + price * doublings)) for price in prices)
    return tuple(list(best)[:MOST_OTHERS])
