"""The front that a search found: its points, and the choice of one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from speck_adacal.errors import SettingsError
from speck_adacal.recipe.recipe import Recipe
from speck_adacal.snn.adapted import AdaptedNetwork
from speck_adacal.twin_search.outcome import Outcome

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class FrontPoint:
    """One recipe of the front. Every figure is *simulated* on the chip twin.

    Attributes:
        network: the adapted network under the point's recipe.
        loss: log loss on the recordings searched on.
        synops: SynOps a recording there.
        accuracy: share of right decisions on the held-out recordings.
        standard_error: of `accuracy` (Agresti and Coull).
        held_out_synops: SynOps a recording on the held-out recordings.
        layer_names: layers on cores, in order of the signal.
        layer_synops, layer_spikes: of each of them, a held-out recording's mean.
    """

    network: AdaptedNetwork
    loss: float
    synops: float
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
        loss: float,
        searched: Outcome,
        held_out: Outcome,
        labels: npt.NDArray[np.int64],
        names: tuple[str, ...],
    ) -> FrontPoint:
        """A point from its two outcomes; `labels` are those of the held-out recordings."""
        right = held_out.decisions == labels
        share = (right.sum() + 2) / (len(right) + 4)
        return cls(
            network=network,
            loss=loss,
            synops=searched.mean_synops,
            accuracy=float(right.mean()),
            standard_error=float(np.sqrt(share * (1 - share) / (len(right) + 4))),
            held_out_synops=held_out.mean_synops,
            layer_names=names,
            layer_synops=tuple(held_out.synops.mean(axis=0).tolist()),
            layer_spikes=tuple(held_out.spikes.mean(axis=0).tolist()),
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
class Front:
    """Recipes of which none is better than another in both log loss and SynOps.

    Attributes:
        points: by rising SynOps.
        chip: the chip they were found for.
        evaluations: recipes that the twin ran.
        searched: number of recordings searched on.
        held_out_indices: of the recordings that the search did not see, among those given.
    """

    points: tuple[FrontPoint, ...]
    chip: str
    evaluations: int
    searched: int
    held_out_indices: tuple[int, ...]

    @property
    def held_out(self) -> int:
        """Number of recordings that the search did not see."""
        return len(self.held_out_indices)

    def choose(
        self, *, max_synops: float | None = None, min_accuracy: float | None = None
    ) -> FrontPoint:
        """The point of least log loss within `max_synops`, or the cheapest of `min_accuracy`.

        With neither, the point of least log loss. Without a limit on the accuracy, what the
        held-out recordings say decides nothing, and stays an honest estimate.

        Raises:
            SettingsError: no point of the front will do.
        """
        fitting = [
            point
            for point in self.points
            if (max_synops is None or point.synops <= max_synops)
            and (min_accuracy is None or point.accuracy >= min_accuracy)
        ]
        if not fitting:
            raise SettingsError(self._nothing_fits(max_synops, min_accuracy))
        if min_accuracy is not None:
            return min(fitting, key=lambda point: point.synops)
        return min(fitting, key=lambda point: point.loss)

    def _nothing_fits(self, max_synops: float | None, min_accuracy: float | None) -> str:
        first, best = self.points[0], max(p.accuracy for p in self.points)
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
            "held_out": self.held_out,
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
