"""The Pareto frontier of sums: one choice per layer, costs and values adding up (eqs. 11, 15)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from speck_adacal.errors import SettingsError

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Frontier:
    """Non-dominated choices by rising cost and falling value.

    Attributes:
        cost: `[points]`, rising.
        value: `[points]`, falling.
        choices: candidate index per layer, `[points, layers]`.
        epsilon: a point of the exact frontier may be missed only if one here has no higher
            cost and a value at most this much higher; 0 means exact.
    """

    cost: Array
    value: Array
    choices: npt.NDArray[np.int64]
    epsilon: float

    def within_cost(self, budget: float) -> int:
        """The point of least value with `cost <= budget`; the cheapest where there is none."""
        return max(int(np.searchsorted(self.cost, budget, side="right")) - 1, 0)

    def within_value(self, target: float) -> int:
        """The cheapest point with `value <= target`; that of least value where there is none."""
        good = np.flatnonzero(self.value <= target)
        return int(good[0]) if len(good) else len(self.value) - 1


def frontier(costs: Array, values: Array, epsilon: float = 0.0) -> Frontier:
    """All Pareto-optimal sums of one candidate per layer.

    Layer by layer, every kept partial sum is extended by every candidate and dominated sums are
    dropped; because costs and values add up, no optimal choice is lost.

    Args:
        costs: `[layers, candidates]`; infinite where a layer lacks a candidate.
        values: `[layers, candidates]`, to be made small.
        epsilon: how much value may be given up in all to keep the frontier short.

    Raises:
        SettingsError: the tables do not fit each other, are NaN, or a layer has no candidate.
    """
    costs, values = np.asarray(costs, float), np.asarray(values, float)
    _check(costs, values, epsilon)
    layers = len(costs)
    cost, value = np.zeros(1), np.zeros(1)
    parents: list[npt.NDArray[np.int64]] = []
    picks: list[npt.NDArray[np.int64]] = []
    for layer in range(layers):
        usable = np.flatnonzero(np.isfinite(costs[layer]) & np.isfinite(values[layer]))
        all_costs = (cost[:, None] + costs[layer, usable]).ravel()
        all_values = (value[:, None] + values[layer, usable]).ravel()
        kept = _non_dominated(all_costs, all_values, epsilon / layers)
        parents.append(kept // len(usable))
        picks.append(usable[kept % len(usable)])
        cost, value = all_costs[kept], all_values[kept]
    choices = np.empty((len(cost), layers), dtype=np.int64)
    at = np.arange(len(cost))
    for layer in reversed(range(layers)):
        choices[:, layer] = picks[layer][at]
        at = parents[layer][at]
    return Frontier(cost, value, choices, epsilon)


def _non_dominated(costs: Array, values: Array, slack: float) -> npt.NDArray[np.int64]:
    """Indices by rising cost; each is better than the one before by more than `slack`."""
    order = np.lexsort((values, costs))
    lowest = np.minimum.accumulate(values[order])
    better = np.concatenate(([True], values[order][1:] < lowest[:-1]))
    order = order[better]
    if slack <= 0:
        return order
    kept, last = [], np.inf
    for index in order:
        if values[index] < last - slack:
            kept.append(index)
            last = values[index]
    return np.asarray(kept, dtype=np.int64)


def _check(costs: Array, values: Array, epsilon: float) -> None:
    if costs.ndim != 2 or costs.shape != values.shape or costs.size == 0:
        raise SettingsError(
            f"The frontier needs costs and values [layers, candidates] of one shape, found "
            f"{costs.shape} and {values.shape}."
        )
    if np.isnan(costs).any() or np.isnan(values).any():
        raise SettingsError("The frontier's costs or values hold NaN; check the sensitivities.")
    if not (np.isfinite(costs) & np.isfinite(values)).any(1).all():
        raise SettingsError("A layer has no candidate with a finite cost and value.")
    if epsilon < 0:
        raise SettingsError(f"epsilon must be at least 0, found {epsilon}.")
