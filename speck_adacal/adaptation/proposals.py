"""Changes worth trying, from a table of sensitivities: of single layers, or of all at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy.optimize import Bounds, LinearConstraint, milp

from speck_adacal.adaptation.changes import FACTORS, KindOfChange
from speck_adacal.adaptation.sensitivity import SensitivityTable
from speck_adacal.recipe.recipe import LayerRecipe, Recipe

Array = npt.NDArray[np.float64]
Options = Mapping[str, Sequence[LayerRecipe]]

CAUTION = 0.5  # standard errors that a change's harm is raised by
_PARTS = (1.0, 0.5, 0.25)  # of the exchange that are tried
_LEAST_DOUBT = 1e-30  # where no sample saw a difference, so that one may divide by it
_REACH = 0.35  # largest change of a log threshold in one step


def proposals(
    recipe: Recipe, offered: Options, table: SensitivityTable, room: Array, change: KindOfChange
) -> list[tuple[Recipe, float]]:
    """Recipes to try, each with the change of KL that the table promises."""
    found = []
    choice, promised = cheapest_harm(table, room)
    if choice:
        chosen = {n: offered[n][k] for n, k in choice.items()}
        layers = tuple(chosen.get(x.name, x) for x in recipe.layers)
        found.append((replace(recipe, layers=layers), promised))
    if table.reference_spikes == 0:  # a silent network has nothing to exchange
        return found
    move, promised = exchange(table)
    if not move.any():
        return found
    for part in _PARTS:
        factors = dict(zip(table.layers, np.exp(part * move), strict=True))
        layers = tuple(
            change.scale(x, float(factors[x.name])) if x.name in factors else x
            for x in recipe.layers
        )
        found.append((replace(recipe, layers=layers), part * (2 - part) * promised))
    return found


def cheapest_harm(table: SensitivityTable, room: Array) -> tuple[dict[str, int], float]:
    """The changes of least summed harm within `room`, at most one a layer.

    An integer programme (HiGHS through scipy): minimise the sum of each change's ΔKL raised by
    `CAUTION` standard errors, with the summed change of spikes and SynOps at most `room`.

    Returns:
        Candidate by layer, for the layers that change, and the summed ΔKL without the caution.
    """
    harm = table.kl - table.reference_kl
    rows, columns = np.nonzero(np.isfinite(harm))
    value = (harm + CAUTION * table.kl_error)[rows, columns]
    spikes = (table.spikes - table.reference_spikes)[rows, columns]
    synops = (table.synops - table.reference_synops)[rows, columns]
    one_each = (rows[None] == np.arange(len(harm))[:, None]).astype(float)
    limits = [
        LinearConstraint(np.stack([spikes, synops]), -np.inf, room),
        LinearConstraint(one_each, 0, 1),
    ]
    found = milp(value, constraints=limits, bounds=Bounds(0, 1), integrality=np.ones(len(rows)))
    if found.x is None or found.fun >= 0:
        return {}, 0.0
    taken = np.flatnonzero(found.x > 0.5)
    choice = {table.layers[rows[i]]: int(columns[i]) for i in taken}
    return choice, float(harm[rows[taken], columns[taken]].sum())


def exchange(table: SensitivityTable) -> tuple[Array, float]:
    """Thresholds of all layers moved against each other at equal cost, by the table's slopes.

    The first two candidates of a layer are its threshold times `FACTORS`. They give the KL that a
    layer loses per part of the cost that it saves; what these prices differ by beyond their
    standard errors (shrunk to the mean as James and Stein do) is evened out by one Newton step
    under a common curvature per cost.

    Returns:
        Change of log threshold, `[layers]`, and the change of KL that it promises.
    """
    x = np.log(FACTORS)
    harm = (table.kl - table.reference_kl)[:, :2]
    cost = (table.spikes / table.reference_spikes + table.synops / table.reference_synops)[:, :2]
    saved = ((2 - cost) / 2 / x).mean(1).clip(1e-4)
    slope = (harm[:, 1] - harm[:, 0]) / (x[1] - x[0])
    error = np.hypot(*table.kl_error[:, :2].T) / (x[1] - x[0])
    bend = max(float((harm / x**2).sum() / saved.sum()), 1e-9)
    price, doubt = slope / saved, np.maximum((error / saved) ** 2, _LEAST_DOUBT)
    weight = 1 / (doubt + doubt.mean())
    mean = float(np.average(price, weights=weight))
    spread = max(float(np.average((price - mean) ** 2 - doubt, weights=weight)), 0.0)
    believed = spread / (spread + doubt) * (price - mean)
    move = np.clip(-believed / bend, -_REACH, _REACH)
    move = move - np.average(move, weights=saved)
    return move, float((slope * move).sum() + bend * (saved * move**2).sum() / 2)
