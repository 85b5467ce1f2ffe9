"""Linear layers fitted on the twin: what reaches them is counted right, and kept where it helps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from speck_adacal import AdaptedNetwork, AdaptSettings, adapt, deploy
from speck_adacal.inspection.autopsy_activity import _pooled, _spike_counts
from speck_adacal.samples.batches import Batches, encode_for
from speck_adacal.twin_search.linear_fit import _mean_inputs, fit_linear_layers

SHAPE = (1, 12, 12)


def _adapted(*, bias: bool, samples: int = 96) -> tuple[AdaptedNetwork, Batches]:
    torch.manual_seed(5)
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1, bias=bias), nn.ReLU(), nn.AvgPool2d(2),
        nn.Conv2d(4, 6, 3, padding=1, bias=bias), nn.ReLU(), nn.AvgPool2d(2),
        nn.Flatten(), nn.Linear(6 * 9, 8, bias=bias), nn.ReLU(), nn.Linear(8, 4, bias=bias),
    )  # fmt: skip
    x = torch.rand(samples, *SHAPE, generator=torch.Generator().manual_seed(0))
    settings = AdaptSettings(time_steps=4, chip_correction=False, bias="events", hold_out=False)
    adapted = adapt(network, x, input_shape=SHAPE, settings=settings)
    return adapted, encode_for(x, SHAPE, adapted.recipe)


@pytest.fixture(scope="module")
def biased() -> tuple[AdaptedNetwork, Batches]:
    return _adapted(bias=True)


@pytest.mark.parametrize("position", [2, 3])
def test_inputs_are_what_the_folded_layer_reads(
    biased: tuple[AdaptedNetwork, Batches], position: int
) -> None:
    """Weights of the network on these values give what the core's weights give on its counts."""
    adapted, batches = biased
    deployment = deploy(adapted)
    recordings = batches.recordings()[:5]
    folded = deployment.layers[position].folded
    inputs = _mean_inputs(deployment, position, recordings)
    before = deployment.layers[position - 1].folded
    counts = _pooled(_spike_counts(deployment, recordings)[position - 1], before.pool)
    charge = np.einsum("nchw,ochw->no", counts, folded.weight)
    weight = adapted.graph[folded.name].module.weight.numpy()  # type: ignore[union-attr, operator]
    current = inputs.reshape(5, -1) @ weight.T
    threshold = folded.recipe.firing_threshold
    np.testing.assert_allclose(charge, current * 4 / threshold, rtol=1e-4, atol=1e-4)


def test_it_is_kept_where_it_helps_and_recorded(biased: tuple[AdaptedNetwork, Batches]) -> None:
    adapted, batches = biased
    found = fit_linear_layers(adapted, batches)
    record = found.recipe.trace[-1]
    assert "linear layers" in record.step
    if record.values["kept"]:
        assert record.values["log loss"] < record.values["log loss before"]
        assert found.graph is not adapted.graph
    else:
        assert found.graph is adapted.graph
    assert found.ann is adapted.ann


def test_chains_without_biases_are_left_alone() -> None:
    adapted, batches = _adapted(bias=False)
    assert fit_linear_layers(adapted, batches) is adapted


def test_few_samples_change_nothing(biased: tuple[AdaptedNetwork, Batches]) -> None:
    adapted, batches = biased
    few = replace(batches, source=batches.source[:20])
    assert fit_linear_layers(adapted, few) is adapted
