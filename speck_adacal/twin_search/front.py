"""The front that a search found: its points, and the choice of one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from speck_adacal.errors import SettingsError
from speck_adacal.recipe.recipe import Recipe
from speck_adacal.sheet import Sheet, Summarised
from speck_adacal.snn.adapted import AdaptedNetwork
from speck_adacal.twin_search.log_loss import log_loss, one_hot
from speck_adacal.twin_search.outcome import Outcome

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Judged:
    """What a recipe did on some recordings.

    Attributes:
        outcome: of the twin.
        labels: int64 `[n]`, the decisions wanted.
    """

    outcome: Outcome
    labels: npt.NDArray[np.int64]

    @property
    def loss(self) -> float:
        """Mean log loss."""
        counts = self.outcome.counts
        return log_loss(counts, one_hot(self.labels, counts.shape[1]))

    @property
    def right(self) -> npt.NDArray[np.bool_]:
        """Which decisions are those wanted, `[n]`."""
        return np.asarray(self.outcome.decisions == self.labels)


@dataclass(frozen=True, eq=False)
class FrontPoint:
    """One recipe of the front. Every figure is *simulated* on the chip twin.

    Attributes:
        network: the adapted network under the point's recipe.
        loss: log loss on the recordings searched on.
        synops: SynOps a recording there.
        choice_loss: log loss on the recordings that choose among the points.
        choice_accuracy: share of right decisions there.
        accuracy: share of right decisions on the held-out recordings.
        standard_error: of `accuracy` (Agresti and Coull).
        held_out_synops: SynOps a recording on the held-out recordings.
        layer_names: layers on cores, in order of the signal.
        layer_synops, layer_spikes: of each of them, a held-out recording's mean.
    """

    network: AdaptedNetwork
    loss: float
    synops: float
    choice_loss: float
    choice_accuracy: float
    accuracy: float
    standard_error: float
    held_out_synops: float
    layer_names: tuple[str, ...]
    layer_synops: tuple[float, ...]
    layer_spikes: tuple[float, ...]

    @classmethod
    def measured(
        cls,
        network: AdaptedNetwork,
        searched: Judged,
        chose: Judged,
        held_out: Judged,
        names: tuple[str, ...],
    ) -> FrontPoint:
        """A point from what it did on the three sets of recordings."""
        right, outcome = held_out.right, held_out.outcome
        share = (right.sum() + 2) / (len(right) + 4)
        return cls(
            network=network,
            loss=searched.loss,
            synops=searched.outcome.mean_synops,
            choice_loss=chose.loss,
            choice_accuracy=float(chose.right.mean()),
            accuracy=float(right.mean()),
            standard_error=float(np.sqrt(share * (1 - share) / (len(right) + 4))),
            held_out_synops=outcome.mean_synops,
            layer_names=names,
            layer_synops=tuple(outcome.synops.mean(axis=0).tolist()),
            layer_spikes=tuple(outcome.spikes.mean(axis=0).tolist()),
        )

    @property
    def recipe(self) -> Recipe:
        """Time steps, thresholds and initial potentials."""
        return self.network.recipe

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        settings = self.recipe.settings
        return {
            "time_steps": settings.time_steps,
            "input_burst": settings.input_burst,
            "synops": self.held_out_synops,
            "accuracy": self.accuracy,
            "standard_error": self.standard_error,
            "search_synops": self.synops,
            "search_log_loss": self.loss,
            "choice_log_loss": self.choice_loss,
            "choice_accuracy": self.choice_accuracy,
            "layers": [
                {
                    "name": name,
                    "threshold": self.recipe[name].threshold.tolist(),
                    "lower_clip": self.recipe[name].lower_clip,
                    "synops": synops,
                    "spikes": spikes,
                }
                for name, synops, spikes in zip(
                    self.layer_names, self.layer_synops, self.layer_spikes, strict=True
                )
            ],
        }


@dataclass(frozen=True, eq=False)
class Front(Summarised):
    """Recipes of which none is better than another in both log loss and SynOps.

    Three sets of recordings make it: one is searched on, one chooses among the points, and one
    measures them.

    Attributes:
        start: the network as it came, measured like the points.
        points: by rising SynOps.
        chip: the chip they were found for.
        evaluations: recipes that the twin ran.
        searched: number of recordings searched on.
        choosing: number of recordings that choose among the points; the search did not see them.
        held_out_indices: of the recordings that measure, among those given: neither the search nor
            the choice saw them.
    """

    start: FrontPoint
    points: tuple[FrontPoint, ...]
    chip: str
    evaluations: int
    searched: int
    choosing: int
    held_out_indices: tuple[int, ...]

    @property
    def held_out(self) -> int:
        """Number of recordings that measure."""
        return len(self.held_out_indices)

    def _sheet(self) -> Sheet:
        best = self.choose()
        rows = tuple(
            (
                "as it came" if point is self.start else "point" + " (best)" * (point is best),
                f"{point.held_out_synops:,.0f}",
                f"{point.accuracy:.1%} ± {100 * point.standard_error:.1f}",
                str(point.recipe.settings.time_steps),
            )
            for point in (self.start, *self.points)
        )
        return Sheet(
            f"Front on the twin of {self.chip} (simulated), on {self.held_out} held-out recordings",
            ("", "SynOps a recording", "accuracy", "T"),
            rows,
            ("choose(max_synops=…, min_accuracy=…) picks a point; best: of least log loss.",),
        )

    def choose(
        self, *, max_synops: float | None = None, min_accuracy: float | None = None
    ) -> FrontPoint:
        """The point of least log loss within `max_synops`, or the cheapest of `min_accuracy`.

        With neither, the point of least log loss. Log loss and accuracy are those of the
        recordings kept for this choice, SynOps those of the recordings searched on, which are
        more; what the held-out recordings say decides nothing, and stays an honest estimate.

        Raises:
            SettingsError: no point of the front will do.
        """
        fitting = [
            point
            for point in self.points
            if (max_synops is None or point.synops <= max_synops)
            and (min_accuracy is None or point.choice_accuracy >= min_accuracy)
        ]
        if not fitting:
            raise SettingsError(self._nothing_fits(max_synops, min_accuracy))
        if min_accuracy is not None:
            return min(fitting, key=lambda point: point.synops)
        return min(fitting, key=lambda point: point.choice_loss)

    def _nothing_fits(self, max_synops: float | None, min_accuracy: float | None) -> str:
        first, best = self.points[0], max(p.choice_accuracy for p in self.points)
        wanted = [] if max_synops is None else [f"at most {max_synops:,.0f} SynOps"]
        wanted += [] if min_accuracy is None else [f"at least {min_accuracy:.1%} accuracy"]
        steps, burst = first.recipe.settings.time_steps, first.recipe.settings.input_burst
        return (
            f"No point of the front has {' and '.join(wanted)}; it begins at {first.synops:,.0f} "
            f"SynOps (T = {steps}, input bursts of {burst}; {first.layer_synops[0]:,.0f} of them "
            f"by the input's events in the first layer) and reaches {best:.1%}. Lower "
            "FrontSettings.time_steps or input_bursts (`front --time-steps, --input-bursts`), give "
            "higher prices or more recordings, or a network with a stride or fewer channels in "
            "its first layer."
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "chip": self.chip,
            "estimator": "twin",
            "evaluations": self.evaluations,
            "searched": self.searched,
            "choosing": self.choosing,
            "held_out": self.held_out,
            "start": self.start.to_dict(),
            "points": [point.to_dict() for point in self.points],
        }


def non_dominated(costs: Floats, losses: Floats) -> npt.NDArray[np.int64]:
    """Indices by rising cost, each of smaller loss than all cheaper ones."""
    order = np.lexsort((losses, costs))
    lowest = np.minimum.accumulate(losses[order])
    better = np.concatenate(([True], losses[order][1:] < lowest[:-1]))
    return np.asarray(order[better], dtype=np.int64)


def thinned(costs: Floats, most: int) -> npt.NDArray[np.int64]:
    """At most `most` of rising costs, spread evenly on a logarithmic scale, ends included."""
    if len(costs) <= most:
        return np.arange(len(costs))
    log = np.log(np.maximum(costs, 1.0))
    wanted = np.linspace(log[-1], log[0], most)
    nearest = np.abs(log[None] - wanted[:, None]).argmin(axis=1)
    return np.unique(nearest)
