"""Runs spread over threads, processes and a local Dask cluster: the same, to the last bit."""

from __future__ import annotations

import dataclasses
import os
import time
from functools import partial
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch
from dask.distributed import Client, LocalCluster
from torch import nn

from speck_adacal import AdaptPlan, AdaptSettings, adapt, deploy, simulate
from speck_adacal.adaptation.candidates import rho_candidates
from speck_adacal.adaptation.engine import recipe_of
from speck_adacal.adaptation.measure import Evaluator
from speck_adacal.adaptation.sensitivity import sensitivity
from speck_adacal.adaptation.thresholds import observe
from speck_adacal.ann import trace
from speck_adacal.chip.simulation import recordings_for
from speck_adacal.errors import SettingsError
from speck_adacal.samples.encoded import encoded_batches
from speck_adacal.spread import in_pieces, is_spread, spread_over
from speck_adacal.twin_search.front_search import FrontSettings, find_front

pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture(scope="module")
def cluster():
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as started:
        yield started


@pytest.fixture(params=["threads", "processes", "dask"])
def spread(request):
    """A context in which several jobs run at once."""
    if request.param == "threads":
        return lambda: spread_over(2)
    if request.param == "processes":
        return lambda: joblib.parallel_config(backend="loky", n_jobs=2)
    address = request.getfixturevalue("cluster").scheduler_address
    return lambda: spread_over(dask=address)


@pytest.fixture(scope="module")
def world():
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3, bias=False)
    ).eval()
    images = torch.rand(24, 1, 6, 6)
    adapted = adapt(
        network, images, input_shape=(1, 6, 6), settings=AdaptSettings(chip_correction=False)
    )
    return network, images, adapted


def test_a_simulation_is_the_same(world, spread):
    _, images, adapted = world
    deployment = deploy(adapted)
    alone = simulate(deployment, images.numpy())
    with spread():
        assert is_spread()
        elsewhere = simulate(deployment, images.numpy())
    for field in dataclasses.fields(alone):
        a, b = getattr(alone, field.name), getattr(elsewhere, field.name)
        if isinstance(a, np.ndarray):
            np.testing.assert_array_equal(a, b)
    for a, b in zip(alone.output, elsewhere.output, strict=True):
        np.testing.assert_array_equal(a.t_us, b.t_us)


def test_a_front_is_the_same(world, spread):
    _, images, adapted = world
    recordings = recordings_for(deploy(adapted), images.numpy())
    truth = np.arange(len(recordings)) % 3
    few = FrontSettings(time_steps=(8,), prices=(0.1,), rounds=1, channel_factor=None, points=3)
    alone = find_front(adapted, recordings, truth, settings=few)
    with spread():
        elsewhere = find_front(adapted, recordings, truth, settings=few)
    assert [p.synops for p in alone.points] == [p.synops for p in elsewhere.points]


def test_adapting_with_a_search_is_the_same(world, spread):
    network, images, _ = world
    chosen = AdaptSettings(input_coding="analog", time_steps=4, phi=2, correction="both")
    few = {"search_samples": 8, "table_samples": 8, "validation_samples": 4}
    plan = AdaptPlan(search_rho=False, phis=(1, 2), evaluations=1, refinements=0, **few)
    made = {"input_shape": (1, 6, 6), "settings": chosen, "plan": plan}
    alone = adapt(network, images, **made)
    with spread():
        elsewhere = adapt(network, images, **made)
    for a, b in zip(alone.recipe.layers, elsewhere.recipe.layers, strict=True):
        assert (a.phi, a.rho) == (b.phi, b.rho)
        np.testing.assert_array_equal(a.threshold, b.threshold)
        np.testing.assert_array_equal(a.initial_potential, b.initial_potential)


def test_a_sensitivity_table_is_the_same(spread):
    torch.manual_seed(0)
    graph = trace(nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)), (6,))
    chosen = AdaptSettings(time_steps=4, input_coding="analog", batch_size=8)
    data = [torch.rand(24, 6)]
    recipe = recipe_of(observe(graph, encoded_batches(data, graph.input_shape, chosen)), chosen, 2)
    evaluator = Evaluator(graph, data, chosen)
    candidates = rho_candidates(recipe, (1.0, 2.0, 4.0))
    plain = sensitivity(evaluator, recipe, candidates)
    with spread():
        table = sensitivity(evaluator, recipe, candidates)
    np.testing.assert_array_equal(table.kl, plain.kl)


def _dying_once(mark: Path, items):
    if 5 in items and not mark.exists():
        mark.touch()
        os._exit(1)
    return [item * item for item in items]


def test_a_worker_that_dies_costs_its_piece_alone(tmp_path):
    mark = tmp_path / "died"
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as own,
        spread_over(dask=own.scheduler_address),
    ):
        found = list(in_pieces(partial(_dying_once, mark), range(16)))
    assert mark.exists()
    assert found == [i * i for i in range(16)]


def test_alone_nothing_is_spread():
    assert not is_spread()
    with spread_over():
        assert not is_spread()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"jobs": 0}, "at least 1, found 0"),
        ({"jobs": 2, "dask": "tcp://127.0.0.1:1"}, "leave one of the two out"),
        ({"dask": "nonsense"}, "nonsense.*missing port"),
        ({"dask": "tcp://127.0.0.1:1"}, "does not answer|No Dask scheduler answers"),
    ],
)
def test_what_cannot_be_spread_over_is_refused(given, said, monkeypatch):
    monkeypatch.setattr("speck_adacal.spread._DASK_SECONDS", 1)
    started = time.monotonic()
    with pytest.raises(SettingsError, match=said), spread_over(**given):
        pass
    assert time.monotonic() - started < 30


def test_a_client_of_ones_own_is_used(cluster, world):
    _, images, adapted = world
    deployment = deploy(adapted)
    alone = simulate(deployment, images.numpy())
    with Client(cluster), joblib.parallel_config(backend="dask"):
        elsewhere = simulate(deployment, images.numpy())
    np.testing.assert_array_equal(alone.synops_per_core, elsewhere.synops_per_core)
