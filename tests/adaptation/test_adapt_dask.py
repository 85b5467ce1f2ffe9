"""Batches of a sensitivity table on a local Dask cluster, where dask.distributed is installed."""

from __future__ import annotations

import joblib
import numpy as np
import pytest
import torch
from torch import nn

from speck_adacal.adaptation import AdaptSettings
from speck_adacal.adaptation.candidates import rho_candidates
from speck_adacal.adaptation.engine import recipe_of
from speck_adacal.adaptation.measure import Evaluator
from speck_adacal.adaptation.sensitivity import sensitivity
from speck_adacal.adaptation.thresholds import observe
from speck_adacal.ann import trace
from speck_adacal.samples.encoded import encoded_batches


def make():
    torch.manual_seed(0)
    graph = trace(nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)), (6,))
    settings = AdaptSettings(time_steps=4, input_coding="analog", batch_size=8)
    data = [torch.rand(24, 6)]
    statistics = observe(graph, encoded_batches(data, graph.input_shape, settings))
    recipe = recipe_of(statistics, settings, 2)
    return Evaluator(graph, data, settings), recipe, rho_candidates(recipe, (1.0, 2.0, 4.0))


@pytest.mark.slow
def test_processes_give_the_same_table():
    evaluator, recipe, candidates = make()
    plain = sensitivity(evaluator, recipe, candidates)
    with joblib.parallel_config(backend="loky"):
        spread = sensitivity(evaluator, recipe, candidates, jobs=2)
    np.testing.assert_array_equal(spread.kl, plain.kl)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_dask_cluster_gives_the_same_table():
    distributed = pytest.importorskip("distributed", reason="dask.distributed is not installed")
    evaluator, recipe, candidates = make()
    plain = sensitivity(evaluator, recipe, candidates)
    with (
        distributed.LocalCluster(n_workers=1, threads_per_worker=1, processes=True) as cluster,
        distributed.Client(cluster),
        joblib.parallel_config(backend="dask"),
    ):
        spread = sensitivity(evaluator, recipe, candidates, jobs=2)
    np.testing.assert_array_equal(spread.kl, plain.kl)
