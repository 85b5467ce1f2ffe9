"""The frontier against brute force."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speck_adacal.adaptation.pareto import frontier
from speck_adacal.errors import SettingsError


def everything(costs, values):
    rows = []
    for choice in itertools.product(range(costs.shape[1]), repeat=len(costs)):
        at = np.arange(len(costs)), list(choice)
        rows.append((costs[at].sum(), values[at].sum()))
    return np.array(rows)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    layers=st.integers(1, 5),
    candidates=st.integers(1, 5),
    integers=st.booleans(),
    epsilon=st.sampled_from([0.0, 0.3]),
)
def test_the_frontier_is_optimal(seed, layers, candidates, integers, epsilon):
    generator = np.random.default_rng(seed)
    shape = (layers, candidates)
    if integers:
        costs, values = (generator.integers(0, 5, shape).astype(float) for _ in range(2))
    else:
        costs, values = generator.random(shape), generator.normal(size=shape)
    found = frontier(costs, values, epsilon)
    rows = everything(costs, values)
    assert (np.diff(found.cost) > 0).all()
    assert (np.diff(found.value) < 0).all()
    at = np.arange(layers)
    for choice, cost, value in zip(found.choices, found.cost, found.value, strict=True):
        assert cost == pytest.approx(costs[at, choice].sum())
        assert value == pytest.approx(values[at, choice].sum())
    for budget in np.quantile(rows[:, 0], [0.0, 0.3, 0.7, 1.0]):
        best = rows[rows[:, 0] <= budget + 1e-9, 1].min()
        point = found.within_cost(budget + 1e-9)
        assert found.cost[point] <= budget + 1e-9
        assert found.value[point] <= best + epsilon + 1e-9
    for target in np.quantile(rows[:, 1], [0.0, 0.5, 1.0]):
        best = rows[rows[:, 1] <= target + 1e-9, 0].min()
        if epsilon == 0:
            assert found.cost[found.within_value(target + 1e-9)] == pytest.approx(best)


def test_thinning_keeps_a_long_frontier_short():
    generator = np.random.default_rng(0)
    costs, values = generator.random((12, 8)), generator.random((12, 8))
    exact, thin = frontier(costs, values), frontier(costs, values, epsilon=1.2)
    assert len(thin.cost) < len(exact.cost) / 1.5
    for cost, value in zip(exact.cost, exact.value, strict=True):
        assert thin.value[thin.within_cost(cost)] <= value + 1.2 + 1e-9


def test_infeasible_budgets_give_the_nearest_point():
    found = frontier(np.array([[1.0, 2.0]]), np.array([[5.0, 3.0]]))
    assert found.within_cost(0.5) == 0
    assert found.within_value(1.0) == 1


@pytest.mark.parametrize(
    ("costs", "values"),
    [([[1.0]], [[np.nan]]), ([[np.inf]], [[1.0]]), ([[1.0]], [[1.0, 2.0]]), ([], [])],
)
def test_bad_tables_are_refused(costs, values):
    with pytest.raises(SettingsError):
        frontier(np.array(costs), np.array(values))
