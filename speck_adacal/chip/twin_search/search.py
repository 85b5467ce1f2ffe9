"""The Pareto front of accuracy and SynOps on the chip, searched with the twin in the loop.

Coordinate descent on thresholds and initial potentials under a rising price of SynOps. Every
recipe that was tried is a candidate for the front; a part of the recordings that the search never
sees tells what each is worth.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from speck_adacal.adaptation.adapted import AdaptedNetwork
from speck_adacal.chip.twin_search.candidate import Candidate, layer_moves
from speck_adacal.chip.twin_search.evaluate import Outcome, TwinEvaluator
from speck_adacal.chip.twin_search.front import Front, FrontPoint, non_dominated, thinned
from speck_adacal.chip.twin_search.objective import log_loss, log_losses, one_hot
from speck_adacal.errors import CalibrationError, SettingsError
from speck_adacal.events.types import Events

_FEWEST = 20
_SMALLEST_GAIN = 1e-4
# A candidate is dropped after this share of the recordings, where it is by so many standard
# errors (of the paired difference) no gain.
_FIRST_SHARE, _ERRORS_OF_DOUBT = 0.25, 1.0
Note = Callable[[str], None]


@dataclass(frozen=True)
class FrontSettings:
    """How the front is searched.

    Attributes:
        prices: log loss that a doubling of the SynOps may cost, one descent for each, in order.
        rounds: of a descent; where a round finds nothing the steps are halved.
        factor: first step of thresholds.
        shift: first step of initial potentials, in thresholds.
        held_out: share of the recordings that the search does not see.
        points: the most points of the front.
        seed: of the split.

    Raises:
        SettingsError: a field is out of range.
    """

    prices: tuple[float, ...] = (0.02, 0.06, 0.15, 0.4)
    rounds: int = 2
    factor: float = 1.25
    shift: float = 0.25
    held_out: float = 0.3
    points: int = 12
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.prices or min(self.prices) < 0:
            raise SettingsError(f"prices must be one or more of at least 0, found {self.prices}.")
        if self.rounds < 1 or self.points < 1:
            raise SettingsError("rounds and points must be at least 1.")
        if not (self.factor > 1 and self.shift > 0 and 0 < self.held_out < 1):
            raise SettingsError(
                "factor must be above 1, shift above 0 and held_out between 0 and 1; found "
                f"{self.factor}, {self.shift} and {self.held_out}."
            )


def find_front(
    adapted: AdaptedNetwork,
    recordings: Sequence[Events],
    labels: npt.ArrayLike,
    *,
    settings: FrontSettings | None = None,
    chip: str = "speck2f",
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
        chip: `"speck2e"` or `"speck2f"`.
        threads: of the twin; by default one a processor.
        note: told in words what was found, descent by descent.

    Raises:
        CalibrationError: fewer than 20 recordings, or another number of labels.
        ModelError: the network is not a chain that the chip can run.
    """
    settings = settings or FrontSettings()
    truth = np.asarray(labels, dtype=np.int64)
    if len(recordings) < _FEWEST or truth.shape != (len(recordings),):
        raise CalibrationError(
            f"A front needs at least {_FEWEST} recordings with one label each, found "
            f"{len(recordings)} recordings and labels of shape {truth.shape}."
        )
    order = np.random.default_rng(settings.seed).permutation(len(recordings))
    hold, fit = np.split(order, [max(1, round(settings.held_out * len(order)))])
    runner = TwinEvaluator(adapted, [recordings[i] for i in fit], chip=chip, threads=threads)
    search = _Search(adapted, runner, truth[fit], settings, note or _silent)
    search.descend()
    kept = search.front()
    # A twin of its own: nothing of the held-out part is known to the search.
    judge = TwinEvaluator(adapted, [recordings[i] for i in hold], chip=chip, threads=threads)
    points = tuple(search.point(candidate, judge, truth[hold]) for candidate in kept)
    spent = round(runner.evaluations + judge.evaluations)
    return Front(points, chip, spent, len(fit), tuple(hold.tolist()))


def _silent(_: str) -> None:
    return None


class _Search:
    """The recipes tried so far, and the descent among them."""

    def __init__(
        self,
        adapted: AdaptedNetwork,
        runner: TwinEvaluator,
        labels: npt.NDArray[np.int64],
        settings: FrontSettings,
        note: Note,
    ) -> None:
        self._base = adapted.recipe
        self._runner = runner
        self._settings = settings
        self._note = note
        self._labels = labels
        self._targets = one_hot(labels, runner.classes)
        self._tried: dict[Candidate, Outcome] = {}
        self._begun: dict[Candidate, Outcome] = {}
        self._few = min(len(labels), max(_FEWEST, round(_FIRST_SHARE * len(labels))))

    def descend(self) -> None:
        """One descent for each price, each from where the last one ended."""
        candidate = Candidate.base(self._base)
        for price in self._settings.prices:
            candidate = self._descent(candidate, price)
            outcome = self._tried[candidate]
            share = np.mean(outcome.counts.argmax(axis=1) == self._labels)
            self._note(
                f"price {price:g}: {share:.1%} at {outcome.mean_synops / 1e6:.2f} M SynOps, "
                f"{self._runner.evaluations:.0f} recipes run"
            )

    def front(self) -> list[Candidate]:
        """The non-dominated recipes, by rising SynOps, at most as many as asked for."""
        candidates = list(self._tried)
        synops = np.array([self._tried[c].mean_synops for c in candidates])
        losses = np.array([self._loss(c) for c in candidates])
        best = non_dominated(synops, losses)
        return [candidates[i] for i in best[thinned(synops[best], self._settings.points)]]

    def point(
        self, candidate: Candidate, judge: TwinEvaluator, labels: npt.NDArray[np.int64]
    ) -> FrontPoint:
        """What a candidate is worth, on the held-out recordings too."""
        recipe = candidate.apply(self._base)
        return FrontPoint.measured(
            recipe, self._loss(candidate), self._tried[candidate], judge.run(recipe), labels
        )

    def _descent(self, start: Candidate, price: float) -> Candidate:
        best, factor, shift = start, self._settings.factor, self._settings.shift
        for _ in range(self._settings.rounds):
            self._runner.keep(best.apply(self._base))
            found = self._round(best, price, factor, shift)
            if found == best:
                factor, shift = float(np.sqrt(factor)), shift / 2
            best = found
        return best

    def _round(self, best: Candidate, price: float, factor: float, shift: float) -> Candidate:
        value = self._value(best, price)
        for pair in layer_moves(self._base, factor, shift):
            for move in pair:
                candidate = move(best)
                if self._hopeless(candidate, best, price):
                    continue
                attempt = self._value(candidate, price)
                if attempt < value - _SMALLEST_GAIN:
                    best, value = candidate, attempt
                    # Moves go from back to front: later inputs are not asked for again.
                    self._runner.keep(best.apply(self._base), move.layer)
                    break
        return best

    def _hopeless(self, candidate: Candidate, best: Candidate, price: float) -> bool:
        """Whether a few of the recordings show already that a candidate is no gain."""
        if candidate in self._tried or self._few == len(self._labels):
            return False
        part = slice(0, self._few)
        began = self._begun.get(candidate)
        if began is None:
            began = self._begun[candidate] = self._runner.run(candidate.apply(self._base), part)
        before, targets = self._tried[best].part(part), self._targets[part]
        worse = log_losses(began.counts, targets) - log_losses(before.counts, targets)
        dearer = np.log2(max(began.mean_synops, 1.0) / max(before.mean_synops, 1.0))
        error = float(worse.std() / np.sqrt(self._few))
        return float(worse.mean()) + price * float(dearer) > _ERRORS_OF_DOUBT * error

    def _value(self, candidate: Candidate, price: float) -> float:
        if candidate not in self._tried:
            recipe, began = candidate.apply(self._base), self._begun.pop(candidate, None)
            self._tried[candidate] = (
                self._runner.run(recipe)
                if began is None
                else began.and_then(self._runner.run(recipe, slice(self._few, None)))
            )
        synops = max(self._tried[candidate].mean_synops, 1.0)
        return self._loss(candidate) + price * float(np.log2(synops))

    def _loss(self, candidate: Candidate) -> float:
        return log_loss(self._tried[candidate].counts, self._targets)
