"""Coordinate descent on thresholds and initial potentials under a price of SynOps.

A candidate is first run on a part of the recordings, then on more of them, and dropped as soon as
the paired difference to the best one shows no gain. It takes the best one's place where the gain
is half a standard error at least: of many moves some look good on the recordings at hand alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from speck_adacal.recipe.recipe import Recipe
from speck_adacal.twin_search.candidate import Candidate, Move, channel_moves, layer_moves
from speck_adacal.twin_search.candidate_runs import TwinEvaluator
from speck_adacal.twin_search.log_loss import log_loss, log_losses, one_hot
from speck_adacal.twin_search.outcome import Outcome

FEWEST = 20
_SMALLEST_GAIN = 1e-4
# Shares of the recordings after which a candidate is looked at.
_LOOKS, _FIRST_OF_LAYERS = (0.125, 0.25, 0.5), 0.25
_ERRORS_OF_DOUBT = 1.0


@dataclass(frozen=True)
class Steps:
    """Sizes of the first moves.

    Attributes:
        rounds: over the layers; where one finds nothing the steps are halved.
        factor, shift: of a layer's threshold and initial potential; a shift of 0 leaves initial
            potentials alone.
        channel_factor: of a channel's threshold; None leaves channels alone.
        clip: factor of a layer's lower clip.
        errors_to_keep: standard errors by which a move must gain to be kept.
    """

    rounds: int
    factor: float
    shift: float
    channel_factor: float | None
    clip: float = 2.0
    errors_to_keep: float = 0.5


class Descent:
    """Descents on one set of recordings, and the outcomes of all candidates tried.

    Args:
        base: the recipe that candidates are relative to.
        runner: runs recipes on the recordings.
        labels: int64 `[n]`, the decisions wanted.
        steps: sizes of the moves.

    Attributes:
        tried: outcomes of the candidates that ran on all recordings.
    """

    def __init__(
        self, base: Recipe, runner: TwinEvaluator, labels: npt.NDArray[np.int64], steps: Steps
    ) -> None:
        self.base = base
        self.tried: dict[Candidate, Outcome] = {}
        self._runner = runner
        self._labels = labels
        self._steps = steps
        self._channels = runner.channels if steps.channel_factor else (0,) * len(base.layers)
        self._targets = one_hot(labels, runner.classes)
        self._begun: dict[Candidate, Outcome] = {}

    def start(self) -> Candidate:
        """The base recipe."""
        return Candidate.base(self.base, self._channels)

    def descend(self, best: Candidate, price: float) -> Candidate:
        """From `best` down to less log loss plus `price` times the doublings of SynOps."""
        factor, shift, clip = self._steps.factor, self._steps.shift, self._steps.clip
        for _ in range(self._steps.rounds):
            found = self._round(
                best, price, layer_moves(self.base, factor, shift, clip), _FIRST_OF_LAYERS
            )
            if found == best:
                factor, shift = float(np.sqrt(factor)), shift / 2
            best = found
        if self._steps.channel_factor is None:
            return best
        moves = channel_moves(self._channels, self._steps.channel_factor, self._steps.shift)
        return self._round(best, price, moves, min(_LOOKS))

    def loss(self, candidate: Candidate) -> float:
        """Mean log loss of one that was tried."""
        return log_loss(self.tried[candidate].counts, self._targets)

    def share_right(self, candidate: Candidate) -> float:
        """Share of right decisions of one that was tried."""
        return float(np.mean(self.tried[candidate].decisions == self._labels))

    def _round(
        self, best: Candidate, price: float, moves: Iterable[tuple[Move, Move]], first_look: float
    ) -> Candidate:
        """Each pair of opposite moves once; late layers first, so that inputs can be kept."""
        self.finish(best)
        self._runner.keep(best.apply(self.base))
        for pair in moves:
            for move in pair:
                candidate = move(best)
                if self._hopeless(candidate, best, price, first_look):
                    continue
                self.finish(candidate)
                gain, error = self._gain(candidate, best, price, len(self._labels))
                if gain > max(_SMALLEST_GAIN, self._steps.errors_to_keep * error):
                    best = candidate
                    # Moves go from back to front: later inputs are not asked for again.
                    self._runner.keep(best.apply(self.base), move.layer)
                    break
        return best

    def _hopeless(
        self, candidate: Candidate, best: Candidate, price: float, first_look: float
    ) -> bool:
        """Whether some of the recordings show already that a candidate is no gain."""
        for share in _LOOKS:
            until = self._whole_streams(max(FEWEST, round(share * len(self._labels))))
            if share < first_look or until >= len(self._labels):
                continue
            self._run_until(candidate, until)
            gain, error = self._gain(candidate, best, price, until)
            if gain < -_ERRORS_OF_DOUBT * error:
                return True
        return False

    def _whole_streams(self, recordings: int) -> int:
        """At least so many recordings, up to the end of a stream."""
        each = self._runner.on_end
        return -(-recordings // each) * each

    def _gain(
        self, candidate: Candidate, best: Candidate, price: float, until: int
    ) -> tuple[float, float]:
        """What is gained on the first recordings, and the standard error of the log loss in it."""
        part = slice(0, until)
        before, after = (self._outcome(c).part(part) for c in (best, candidate))
        losses = [log_losses(outcome.counts, self._targets[part]) for outcome in (before, after)]
        less = losses[0] - losses[1]
        dearer = np.log2(max(after.mean_synops, 1.0) / max(before.mean_synops, 1.0))
        gain = float(less.mean()) - price * float(dearer)
        return gain, float(less.std() / np.sqrt(until))

    def _outcome(self, candidate: Candidate) -> Outcome:
        return self.tried[candidate] if candidate in self.tried else self._begun[candidate]

    def finish(self, candidate: Candidate) -> None:
        if candidate not in self.tried:
            self._run_until(candidate, len(self._labels))
            self.tried[candidate] = self._begun.pop(candidate)

    def _run_until(self, candidate: Candidate, until: int) -> None:
        if candidate in self.tried:
            return
        began = self._begun.get(candidate)
        done = 0 if began is None else len(began.counts)
        if done < until:
            more = self._runner.run(candidate.apply(self.base), slice(done, until))
            self._begun[candidate] = more if began is None else began.and_then(more)
