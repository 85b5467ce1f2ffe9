"""The integer programme behind a measured step, against trying everything."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speck_adacal.adaptation.changes import FACTORS
from speck_adacal.adaptation.proposals import CAUTION, cheapest_harm, exchange
from speck_adacal.adaptation.sensitivity import SensitivityTable


def table(seed: int, layers: int, width: int) -> SensitivityTable:
    rng = np.random.default_rng(seed)
    shape = (layers, width)
    return SensitivityTable(
        layers=tuple(f"layer{i}" for i in range(layers)),
        kl=1 + rng.normal(size=shape),
        kl_error=rng.random(shape) / 4,
        spikes=10 + rng.normal(size=shape),
        synops=20 + rng.normal(size=shape),
        reference_kl=1.0,
        reference_spikes=10.0,
        reference_synops=20.0,
        mode="in_situ",
        samples=4,
    )


def totals(found: SensitivityTable, choice: dict[str, int]) -> np.ndarray:
    rows = [found.layers.index(n) for n in choice]
    columns = list(choice.values())
    harm = found.kl - 1.0 + CAUTION * found.kl_error
    parts = (harm, found.spikes - 10, found.synops - 20)
    return np.array([p[rows, columns].sum() for p in parts])


@given(seed=st.integers(0, 10_000), room=st.floats(-1.0, 1.0))
def test_no_choice_within_the_caps_promises_more(seed, room):
    found = table(seed, 3, 2)
    limits = np.array([room, room])
    choice, promised = cheapest_harm(found, limits)
    best = 0.0
    for columns in itertools.product((None, 0, 1), repeat=3):
        tried = {n: c for n, c in zip(found.layers, columns, strict=True) if c is not None}
        if tried:
            harm, *costs = totals(found, tried)
            if (np.array(costs) <= limits).all():
                best = min(best, harm)
    if not choice:
        assert best >= -1e-6
        return
    harm, *costs = totals(found, choice)
    assert (np.array(costs) <= limits + 1e-6).all()
    assert harm == pytest.approx(best, abs=1e-6)
    assert promised <= harm + 1e-12


def test_an_exchange_moves_thresholds_to_where_they_cost_least():
    """Layers of equal cost: where a higher threshold harms less than on average, it rises."""
    log_factors = np.log(FACTORS)
    slopes = np.array([0.1, 0.3, 0.2])
    harm = slopes[:, None] * log_factors + 0.5 * log_factors**2
    cost = -0.2 * log_factors * np.ones((3, 1))
    found = SensitivityTable(
        layers=("a", "b", "c"), kl=1 + harm, kl_error=np.full((3, 2), 1e-6),
        spikes=10 * (1 + cost), synops=20 * (1 + cost), reference_kl=1.0, reference_spikes=10.0,
        reference_synops=20.0, mode="in_situ", samples=100,
    )  # fmt: skip
    move, promised = exchange(found)
    np.testing.assert_allclose(move, [0.1, -0.1, 0.0], atol=5e-3)
    assert promised == pytest.approx(-0.01, rel=0.05)
    noisy = replace(found, kl_error=np.full((3, 2), 1.0))
    np.testing.assert_allclose(exchange(noisy)[0], 0, atol=1e-12)
    certain = replace(found, kl_error=np.zeros((3, 2)))
    np.testing.assert_allclose(exchange(certain)[0], move, atol=1e-6)


def test_where_nothing_changes_anything_no_exchange_moves():
    """All candidates alike on all samples: no harm, and no doubt about it."""
    still = table(0, 3, 2)
    same = replace(still, kl=np.ones((3, 2)), kl_error=np.zeros((3, 2)))
    move, promised = exchange(same)
    np.testing.assert_array_equal(move, 0)
    assert promised == 0
