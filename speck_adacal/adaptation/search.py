"""Choosing one candidate per layer: the frontier proposes, measured descent decides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from speck_adacal.adaptation.measure import Evaluator, Measurement
from speck_adacal.adaptation.pareto import Frontier, frontier
from speck_adacal.adaptation.progress_bar import progress
from speck_adacal.adaptation.sensitivity import SensitivityTable, sensitivity
from speck_adacal.ann.graph import LayerGraph
from speck_adacal.errors import SettingsError
from speck_adacal.recipe.recipe import LayerRecipe, Recipe

Choice = tuple[int, ...]

_RADII = (1, 2)  # near the start the sums are most to be trusted


@dataclass(frozen=True)
class Trial:
    """One measured configuration.

    Attributes:
        choice: candidate index per layer.
        kl: measured mean KL, nats.
        synops: measured SynOps a sample.
        origin: "start", "frontier" or "descent".
    """

    choice: Choice
    kl: float
    synops: float
    origin: str


@dataclass(frozen=True, eq=False)
class SearchResult:
    """What a search found.

    Attributes:
        recipe: the best measured configuration within the limit, or the nearest to it.
        best: its trial.
        feasible: False where no measured configuration met the limit; `best` is then nearest.
        trials: everything measured, in order.
        front: the whole frontier under the independence assumption.
        predicted: (KL, SynOps) that the assumption promised for the frontier's point.
        gap: measured minus predicted KL at the frontier's point.
        table: the sensitivities behind it.
    """

    recipe: Recipe
    best: Trial
    feasible: bool
    trials: tuple[Trial, ...]
    front: Frontier
    predicted: tuple[float, float]
    gap: float
    table: SensitivityTable


@dataclass(frozen=True)
class Limit:
    """Least KL with at most `synops` SynOps a sample; or fewest SynOps with at most `kl` nats."""

    synops: float | None = None
    kl: float | None = None

    def __post_init__(self) -> None:
        if (self.synops is None) == (self.kl is None):
            raise SettingsError("A search needs either a limit on SynOps or one on KL.")

    def met(self, trial: Trial) -> bool:
        """Whether a measured configuration is within the limit."""
        return self.excess(trial) <= 0

    def excess(self, trial: Trial) -> float:
        """By how much it is not, relative to the limit."""
        if self.synops is not None:
            return trial.synops / self.synops - 1
        return trial.kl / float(self.kl or 0) - 1

    def aim(self, trial: Trial) -> float:
        """What is to be made small."""
        return trial.kl if self.synops is not None else trial.synops

    def better(self, new: Trial, old: Trial) -> bool:
        """Whether `new` is to be preferred: within the limit first, then by the aim."""
        if self.met(new) != self.met(old):
            return self.met(new)
        if not self.met(new):
            return self.excess(new) < self.excess(old)
        return self.aim(new) < self.aim(old)


class Search:
    """A search over candidates per layer.

    Args:
        evaluator: what trials are measured on.
        recipe: gives everything but the candidates (settings, readout layers).
        candidates: candidates of each layer, in the same order for every layer.
        graph: the corrected graph, if it is not the evaluator's.
        mode: of the sensitivity table.
        epsilon: thinning of the frontier, as a part of the reference KL.
        table_evaluator: what sensitivities are measured on, `evaluator` by default; because they
            only propose, fewer samples do.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        recipe: Recipe,
        candidates: Mapping[str, Sequence[LayerRecipe]],
        *,
        graph: LayerGraph | None = None,
        mode: str = "in_situ",
        epsilon: float = 0.0,
        table_evaluator: Evaluator | None = None,
    ) -> None:
        self._table_evaluator = table_evaluator or evaluator
        self._evaluator, self._recipe, self._candidates = evaluator, recipe, candidates
        self._graph, self._mode, self._epsilon = graph, mode, epsilon
        self._layers = [x.name for x in recipe.layers if not x.readout and x.name in candidates]
        self.trials: list[Trial] = []

    def recipe_of(self, choice: Choice) -> Recipe:
        """The recipe with candidate `choice[i]` in layer i."""
        chosen = {n: self._candidates[n][k] for n, k in zip(self._layers, choice, strict=True)}
        return replace(
            self._recipe, layers=tuple(chosen.get(x.name, x) for x in self._recipe.layers)
        )

    def measure(self, choice: Choice, origin: str) -> Trial:
        """Measure a configuration (each once)."""
        for trial in self.trials:
            if trial.choice == choice:
                return trial
        found: Measurement = self._evaluator.measure(self.recipe_of(choice), self._graph)
        trial = Trial(choice, found.kl, found.synops_per_sample, origin)
        self.trials.append(trial)
        return trial

    def run(self, limit: Limit, starts: Sequence[Choice], evaluations: int = 40) -> SearchResult:
        """Search from the best of `starts` with at most `evaluations` more measurements.

        Sensitivities are measured around the best start; the frontier's point is measured, and
        the budget for it corrected by the gap until it fits, for the whole frontier and for that of
        the start's neighbours; then single changes and exchanges
        between two layers are tried, those that the table promises most first, and kept where
        the measurement agrees. The result is never worse than any start.
        """
        best = self._best([self.measure(c, "start") for c in starts], limit)
        table = sensitivity(
            self._table_evaluator,
            self.recipe_of(best.choice),
            {n: self._candidates[n] for n in self._layers},
            graph=self._graph,
            mode=self._mode,
        )
        kl = table.kl - table.reference_kl
        synops = table.synops - table.reference_synops
        if self._mode == "isolated":
            rows = np.arange(len(kl))
            kl, synops = table.kl, table.synops
            kl = kl - kl[rows, best.choice][:, None]
            synops = synops - synops[rows, best.choice][:, None]
        front = frontier(synops, kl, self._epsilon * best.kl)
        start = best
        proposed, predicted = self._propose(front, start, limit)
        best = self._best([best, *proposed], limit)
        for radius in _RADII:
            near = _near(synops, start.choice, radius)
            points, _ = self._propose(frontier(near, kl, self._epsilon * start.kl), start, limit)
            best = self._best([best, *points], limit)
        best = self._descend(best, limit, kl, synops, evaluations)
        gap = proposed[0].kl - predicted[0]
        return SearchResult(
            recipe=self.recipe_of(best.choice),
            best=best,
            feasible=limit.met(best),
            trials=tuple(self.trials),
            front=front,
            predicted=predicted,
            gap=gap,
            table=table,
        )

    def _best(self, trials: Sequence[Trial], limit: Limit) -> Trial:
        best = trials[0]
        for trial in trials[1:]:
            if limit.better(trial, best):
                best = trial
        return best

    def _propose(
        self, front: Frontier, start: Trial, limit: Limit, rounds: int = 3
    ) -> tuple[list[Trial], tuple[float, float]]:
        """Points of the frontier, the limit corrected by what was measured last."""
        bound = limit.synops if limit.synops is not None else float(limit.kl or 0)
        trials: list[Trial] = []
        nominal, predicted = bound, (np.nan, np.nan)
        for _ in range(rounds):
            if limit.synops is not None:
                at = front.within_cost(nominal - start.synops)
            else:
                at = front.within_value(nominal - start.kl)
            if not trials:
                predicted = (start.kl + front.value[at], start.synops + front.cost[at])
            trial = self.measure(tuple(int(k) for k in front.choices[at]), "frontier")
            if trial in trials:
                break
            trials.append(trial)
            excess = limit.excess(trial)
            if -0.01 < excess <= 0:
                break
            nominal -= 0.8 * excess * bound
        return trials, predicted

    def _descend(
        self,
        best: Trial,
        limit: Limit,
        kl: npt.NDArray[np.float64],
        synops: npt.NDArray[np.float64],
        evaluations: int,
    ) -> Trial:
        tried = {best.choice}
        with progress() as bar:
            for _ in bar.track(range(evaluations), description="measured descent"):
                choice = next_choice(best, limit, kl, synops, tried)
                if choice is None:
                    break
                tried.add(choice)
                trial = self.measure(choice, "descent")
                if limit.better(trial, best):
                    best = trial
        return best


def _near(costs: npt.NDArray[np.float64], choice: Choice, radius: int) -> npt.NDArray[np.float64]:
    """Costs with all candidates further than `radius` from the choice made infinite."""
    away = np.abs(np.arange(costs.shape[1]) - np.asarray(choice)[:, None])
    return np.where(away <= radius, costs, np.inf)


def next_choice(
    best: Trial,
    limit: Limit,
    kl: npt.NDArray[np.float64],
    synops: npt.NDArray[np.float64],
    tried: set[Choice],
) -> Choice | None:
    """The untried neighbour that the table promises most for: one layer, or two against each other.

    A step moves a layer by one or two candidates. Neighbours that the table puts above the limit
    by more than 2 % are left out.
    """
    layers, width = kl.shape
    steps = []
    for layer in range(layers):
        at = best.choice[layer]
        for new in (at - 2, at - 1, at + 1, at + 2):
            if 0 <= new < width and np.isfinite(kl[layer, new]):
                steps.append(
                    (
                        layer,
                        new,
                        kl[layer, new] - kl[layer, at],
                        synops[layer, new] - synops[layer, at],
                    )
                )
    pairs = [(a,) for a in steps] + [
        (a, b) for a in steps for b in steps if a[0] < b[0] and a[3] * b[3] < 0
    ]
    ranked = []
    for moves in pairs:
        guess = Trial(
            (),
            max(best.kl + sum(x[2] for x in moves), 0.0),
            best.synops + sum(x[3] for x in moves),
            "",
        )
        if limit.excess(guess) <= 0.02 or limit.excess(guess) < limit.excess(best):
            ranked.append((limit.aim(guess) + max(limit.excess(guess), 0) * limit.aim(best), moves))
    for _, moves in sorted(ranked, key=lambda r: r[0]):
        choice = list(best.choice)
        for layer, new, *_ in moves:
            choice[layer] = new
        if tuple(choice) not in tried:
            return tuple(choice)
    return None
