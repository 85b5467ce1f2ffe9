"""Linear layers fitted on the twin: inputs are counted right, and fits kept where they help."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from speck_adacal import AdaptedNetwork, AdaptSettings, adapt, deploy
from speck_adacal.chip.simulation import run_on_twin
from speck_adacal.inspection.autopsy_activity import _pooled, _spike_counts
from speck_adacal.rewriting.least_squares import RidgeFit
from speck_adacal.samples.batches import Batches, encode_for
from speck_adacal.twin_search.linear_fit import _mean_inputs, fit_linear_layers
from speck_adacal.twin_search.targets import reference_decisions

SHAPE = (1, 12, 12)


def _adapted(*, bias: bool, samples: int = 96) -> tuple[AdaptedNetwork, Batches]:
    torch.manual_seed(5)
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1, bias=bias), nn.ReLU(), nn.AvgPool2d(2),
        nn.Conv2d(4, 6, 3, padding=1, bias=bias), nn.ReLU(), nn.AvgPool2d(2),
        nn.Flatten(), nn.Linear(6 * 9, 8, bias=bias), nn.ReLU(), nn.Linear(8, 4, bias=bias),
    )  # fmt: skip
    labels = torch.arange(samples) % 4
    x = 0.3 * torch.rand(samples, *SHAPE, generator=torch.Generator().manual_seed(0))
    for image, corner in zip(x, labels, strict=True):  # which corner is bright
        image[0, 6 * (corner // 2) :, 6 * (corner % 2) :][:6, :6] += 0.5
    _train(network, x, labels)
    settings = AdaptSettings(time_steps=4, chip_correction=False, bias="events", hold_out=False)
    adapted = adapt(network, x, input_shape=SHAPE, settings=settings)
    return adapted, encode_for(x, SHAPE, adapted.recipe)


def _train(network: nn.Module, x: torch.Tensor, labels: torch.Tensor) -> None:
    optimiser = torch.optim.Adam(network.parameters(), 0.01)
    for _ in range(60):
        optimiser.zero_grad()
        nn.functional.cross_entropy(network(x), labels).backward()
        optimiser.step()


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


def _spoilt(adapted: AdaptedNetwork) -> AdaptedNetwork:
    """The network with its last layer's rows in another order."""
    name = adapted.graph.outputs[0]
    module = copy.deepcopy(adapted.graph[name].module)
    module.weight = nn.Parameter(module.weight.roll(1, 0), requires_grad=False)  # type: ignore
    module.bias = nn.Parameter(module.bias.roll(1, 0), requires_grad=False)  # type: ignore
    nodes = tuple(replace(x, module=module) if x.name == name else x for x in adapted.graph.nodes)
    return replace(adapted, graph=replace(adapted.graph, nodes=nodes))


def _decided(adapted: AdaptedNetwork, batches: Batches) -> np.ndarray:
    return run_on_twin(deploy(adapted), batches.recordings()).decisions


def test_a_fit_mends_what_the_weights_spoil(biased: tuple[AdaptedNetwork, Batches]) -> None:
    adapted, batches = biased
    wanted = reference_decisions(adapted, batches)
    spoilt = _spoilt(adapted)
    found = fit_linear_layers(spoilt, batches)
    record = found.recipe.trace[-1]
    assert record.values["kept"]
    assert record.values["log loss"] < record.values["log loss before"]
    before, after = (np.mean(_decided(x, batches) == wanted) for x in (spoilt, found))
    assert after > before + 0.3
    assert found.ann is adapted.ann


def test_a_fit_that_surely_decides_worse_is_refused(
    biased: tuple[AdaptedNetwork, Batches],
) -> None:
    """The decisions wanted are those of other weights than what the fit goes by."""
    adapted, batches = biased
    spoilt = _spoilt(adapted)
    found = fit_linear_layers(spoilt, batches, _decided(spoilt, batches))
    assert found.graph is spoilt.graph
    assert found.recipe.trace[-1].values["kept"] == 0


def test_the_error_on_other_samples_is_that_of_the_solution() -> None:
    module = nn.Conv2d(4, 6, 3, padding=1, groups=2)
    generator = torch.Generator().manual_seed(3)
    x, y = (
        torch.randn(9, 4, 5, 5, generator=generator),
        torch.randn(9, 6, 5, 5, generator=generator),
    )
    fit = RidgeFit(copy.deepcopy(module))
    fit.add(x[:6], y[:6])
    found = fit.error(0.1, x[6:], y[6:])
    module.weight.data, module.bias.data = fit.solve(0.1)  # type: ignore[union-attr]
    with torch.no_grad():
        left = float((module(x[6:]) - y[6:]).square().mean())
    assert found == pytest.approx(left, rel=1e-5)


def test_chains_without_biases_are_left_alone() -> None:
    adapted, batches = _adapted(bias=False)
    assert fit_linear_layers(adapted, batches) is adapted


def test_few_samples_change_nothing(biased: tuple[AdaptedNetwork, Batches]) -> None:
    adapted, batches = biased
    few = replace(batches, source=batches.source[:20])
    assert fit_linear_layers(adapted, few) is adapted
