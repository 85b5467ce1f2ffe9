"""Energy, sensitivity and search on a small network, against plain re-evaluation."""

from __future__ import annotations

from dataclasses import replace

import joblib
import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

from speck_adacal.adaptation import AdaptSettings
from speck_adacal.adaptation.candidates import phi_candidates, rho_candidates
from speck_adacal.adaptation.engine import recipe_of
from speck_adacal.adaptation.finished_work import FinishedWork
from speck_adacal.adaptation.measure import Evaluator
from speck_adacal.adaptation.search import Limit, Search
from speck_adacal.adaptation.sensitivity import sensitivity
from speck_adacal.adaptation.thresholds import observe, thresholds
from speck_adacal.ann import Kind, trace
from speck_adacal.errors import CalibrationError, SettingsError
from speck_adacal.samples.encoded import encoded_batches
from speck_adacal.snn import SpikingNetwork, repeat_in_time
from speck_adacal.snn.synops import fan_out

SETTINGS = AdaptSettings(time_steps=4, phi=2, input_coding="analog", batch_size=8)
PHIS = (1, 2, 4)


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(1, 4, 3, padding=1)
        self.b = nn.Conv2d(4, 4, 3, padding=1, groups=2)
        self.c = nn.Conv2d(4, 6, 3, stride=2, padding=1)
        self.fc = nn.Linear(6 * 4, 5)

    def forward(self, x):
        x = torch.relu(self.a(x))
        x = torch.relu(self.b(x) + x)
        x = nn.functional.avg_pool2d(torch.relu(self.c(x)), 2)
        return self.fc(x.flatten(1)) * 8


@pytest.fixture(scope="module")
def world():
    torch.manual_seed(3)
    graph = trace(Residual(), (1, 8, 8))
    data = [torch.rand(20, 1, 8, 8)]
    batches = encoded_batches(data, graph.input_shape, SETTINGS)
    statistics = observe(graph, batches)
    recipe = recipe_of(statistics, SETTINGS, 2)
    tables = {phi: thresholds(statistics, SETTINGS, phi) for phi in PHIS}
    evaluator = Evaluator(graph, data, SETTINGS, labels=torch.zeros(20))
    return graph, evaluator, recipe, phi_candidates(recipe, tables, PHIS), data


def test_synops_equal_counting_weight_uses_one_by_one():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 2, 3, stride=2, padding=1), nn.ReLU(), nn.AvgPool2d(2),
        nn.Conv2d(2, 4, 3, padding=1, groups=2), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3),
    )  # fmt: skip
    graph = trace(model, (1, 8, 8))
    fans = fan_out(graph)
    expected = torch.zeros(2, 4, 4)
    for c, y, x in np.ndindex(2, 4, 4):
        for ky, kx in np.ndindex(3, 3):
            oy, ox = y // 2 + 1 - ky, x // 2 + 1 - kx
            if 0 <= oy < 2 and 0 <= ox < 2:
                expected[c, y, x] += 2
    assert torch.equal(fans["1"], expected)
    assert torch.equal(fans["4"], torch.full((4, 2, 2), 3.0))
    total = sum(float(f.sum()) for f in [fans["input"]])
    taps = sum(0 <= 2 * o - 1 + k < 8 for o in range(4) for k in range(3)) ** 2
    assert total == 2 * taps


def test_measured_energy_adds_up(world):
    graph, evaluator, recipe, _, data = world
    found = evaluator.measure(recipe)
    network = SpikingNetwork(graph, recipe)
    with torch.no_grad():
        values = network.run(data[0].unsqueeze(1), time_steps=4, keep=network.spiking_names)
    synops = 0.0
    for name, fans in fan_out(graph).items():
        if name != "input":
            theta = float(recipe[name].firing_threshold)
            synops += float(((values[name] / theta).round() * fans).sum()) / 20
    assert found.synops_per_sample == pytest.approx(synops, rel=1e-5)
    macs = 4 * 8 * 8 * 9 * 4
    assert found.energy_nj == pytest.approx((synops * 0.9 + macs * 4.6) / 1000, rel=1e-5)
    assert found.sample_energy_nj.sum(1).mean() == pytest.approx(found.energy_nj)


def straightforward(graph, recipe, candidates, data, steps):
    """The whole network anew for every cell."""
    kl = np.zeros((len(candidates), len(PHIS)))
    target = torch.log_softmax(graph.run(data)[graph.outputs[0]], 1)
    for row, name in enumerate(candidates):
        for column, layer in enumerate(candidates[name]):
            layers = tuple(layer if x.name == name else x for x in recipe.layers)
            network = SpikingNetwork(graph, replace(recipe, layers=layers))
            output = network(repeat_in_time(data, steps)).mean(1)
            distance = (target.exp() * (target - torch.log_softmax(output, 1))).sum(1)
            kl[row, column] = float(distance.mean())
    return kl


def test_cached_prefixes_give_the_same_table(world):
    graph, evaluator, recipe, candidates, data = world
    table = sensitivity(evaluator, recipe, candidates)
    with torch.no_grad():
        expected = straightforward(graph, recipe, candidates, data[0], 4)
    np.testing.assert_allclose(table.kl, expected, rtol=1e-4, atol=1e-7)
    assert table.kl[0, 1] == pytest.approx(table.reference_kl)
    assert table.kl_error[0, 1] == pytest.approx(0, abs=1e-9)
    measured = evaluator.measure(recipe)
    assert table.synops[1, 1] == pytest.approx(measured.synops_per_sample)
    assert table.reference_kl == pytest.approx(measured.kl)


def test_with_all_samples_in_one_batch_the_table_is_the_straightforward_one(world):
    """A last bit decides whether a neuron fires, so only the same order of sums is comparable."""
    graph, _, recipe, candidates, data = world
    settings = replace(SETTINGS, batch_size=20)
    evaluator = Evaluator(graph, data, settings)
    ratios = rho_candidates(recipe, [1.0, 1.5, 4.0])
    for options in (candidates, ratios):
        table = sensitivity(evaluator, recipe, options)
        with torch.no_grad():
            expected = straightforward(graph, recipe, options, data[0], 4)
        np.testing.assert_allclose(table.kl, expected, rtol=1e-6, atol=1e-9)
        np.testing.assert_array_equal(table.kl.argmin(1), expected.argmin(1))


class Fixed(nn.Module):
    """Stands for a layer whose value is known."""

    def __init__(self, value) -> None:
        super().__init__()
        self.value = value

    def forward(self, _):
        return self.value


def test_temperature_is_chosen_where_the_network_is_half_sure(world):
    graph, _, recipe, candidates, data = world
    chosen = Evaluator(graph, data, SETTINGS, temperature=None)
    probabilities = torch.cat(chosen.targets).exp()
    entropy = -(probabilities * probabilities.log()).sum(1).mean() / np.log(5)
    assert float(entropy) == pytest.approx(0.5, abs=1e-3)
    table = sensitivity(chosen, recipe, candidates)
    assert table.reference_kl == pytest.approx(chosen.measure(recipe).kl)


def test_exact_isolated_table(world):
    graph, evaluator, recipe, candidates, data = world
    table = sensitivity(evaluator, recipe, candidates, mode="isolated", exact=True)
    with torch.no_grad():
        x = data[0]
        target = torch.log_softmax(graph.run(x)[graph.outputs[0]], 1)
        name = table.layers[1]
        for column, layer in enumerate(candidates[name]):
            every = {n.name: layer for n in graph.of_kind(Kind.ACTIVATION)}
            network = SpikingNetwork(graph, every)
            node = graph[name]
            current = graph.run(x, keep=node.inputs)[node.inputs[0]]
            spikes = network.layer(name).run(current.unsqueeze(1), 4).mean(1)

            output = graph.run(x, replace={name: Fixed(spikes)})[graph.outputs[0]]
            kl = (target.exp() * (target - torch.log_softmax(output, 1))).sum(1).mean()
            assert table.kl[1, column] == pytest.approx(float(kl), abs=1e-6)
    assert (table.harm >= 0).all()


def test_a_linear_response_is_exact_where_what_follows_is_linear():
    """Behind the last rectifier nothing but the soft-max bends."""
    torch.manual_seed(0)
    graph = trace(nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 5)), (6,))
    data = [torch.rand(30, 6)]
    statistics = observe(graph, encoded_batches(data, graph.input_shape, SETTINGS))
    recipe, evaluator = recipe_of(statistics, SETTINGS, 2), Evaluator(graph, data, SETTINGS)
    options = rho_candidates(recipe, [1.0, 2.0, 8.0])
    linear, exact = (
        sensitivity(evaluator, recipe, options, mode="isolated", exact=e) for e in (False, True)
    )
    np.testing.assert_allclose(linear.kl, exact.kl, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(linear.kl_error, exact.kl_error, rtol=1e-4, atol=1e-7)
    np.testing.assert_array_equal(linear.spikes, exact.spikes)
    np.testing.assert_array_equal(linear.synops, exact.synops)


@pytest.mark.parametrize(("classes", "least"), [(5, 0.9), (60, 0.9)])
def test_a_linear_response_ranks_as_the_exact_table_does(classes, least):
    """With many classes by random projections; the median ratio says that they are unbiased."""
    torch.manual_seed(4)
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Flatten(),
        nn.Linear(128, classes),
    )  # fmt: skip
    graph, data = trace(model, (1, 8, 8)), [torch.rand(40, 1, 8, 8)]
    statistics = observe(graph, encoded_batches(data, graph.input_shape, SETTINGS))
    recipe, evaluator = recipe_of(statistics, SETTINGS, 2), Evaluator(graph, data, SETTINGS)
    options = phi_candidates(recipe, {p: thresholds(statistics, SETTINGS, p) for p in PHIS}, PHIS)
    linear, exact = (
        sensitivity(evaluator, recipe, options, mode="isolated", exact=e) for e in (False, True)
    )
    assert spearmanr(linear.kl.ravel(), exact.kl.ravel()).statistic >= least
    assert np.median(linear.kl / exact.kl) == pytest.approx(1, abs=0.3)
    again = sensitivity(evaluator, recipe, options, mode="isolated")
    np.testing.assert_array_equal(again.kl, linear.kl)


def test_jobs_and_journal_change_nothing(world, tmp_path):
    graph, evaluator, recipe, candidates, data = world
    plain = sensitivity(evaluator, recipe, candidates)
    finished = FinishedWork(tmp_path)
    kept = Evaluator(graph, data, SETTINGS, finished=finished)
    with joblib.parallel_config(backend="threading", n_jobs=2):
        first = sensitivity(kept, recipe, candidates)
    files = sorted(tmp_path.glob("*.npz"))
    assert len(files) == len(kept.inputs)
    files[0].write_bytes(b"damaged")
    again = sensitivity(kept, recipe, candidates)
    for table in (first, again):
        np.testing.assert_array_equal(table.kl, plain.kl)
        np.testing.assert_array_equal(table.synops, plain.synops)
    assert kept.measure(recipe).kl == kept.measure(recipe).kl == evaluator.measure(recipe).kl


def test_search_is_never_worse_than_uniform(world):
    _, evaluator, recipe, candidates, _ = world
    search = Search(evaluator, recipe, candidates)
    uniform = [search.measure((k,) * 3, "start") for k in range(3)]
    limit = Limit(synops=uniform[1].synops)
    result = search.run(limit, [(1, 1, 1)], evaluations=12)
    assert result.feasible
    assert result.best.synops <= uniform[1].synops
    assert result.best.kl <= uniform[1].kl
    assert len(result.front.cost) > 2
    assert evaluator.measure(result.recipe).kl == result.best.kl
    measured = {t.choice: t for t in result.trials}
    assert all(measured[t.choice] is t for t in result.trials)


def test_search_for_energy_keeps_the_distance(world):
    _, evaluator, recipe, _, _ = world
    rhos = (1.0, 1.5, 2.0, 3.0)
    search = Search(evaluator, recipe, rho_candidates(recipe, rhos))
    start = search.measure((0, 0, 0), "start")
    result = search.run(Limit(kl=start.kl * 2), [(0, 0, 0)], evaluations=12)
    assert result.best.kl <= start.kl * 2
    assert result.best.synops < start.synops
    assert {x.rho for x in result.recipe.layers if not x.readout} <= set(rhos)


def test_an_infeasible_budget_reports_the_nearest(world):
    _, evaluator, recipe, candidates, _ = world
    result = Search(evaluator, recipe, candidates).run(Limit(synops=1.0), [(1, 1, 1)], 6)
    assert not result.feasible
    assert result.best.choice == (0, 0, 0)


def test_bad_requests_are_refused(world):
    graph, evaluator, recipe, candidates, data = world
    with pytest.raises(SettingsError, match="mode"):
        sensitivity(evaluator, recipe, candidates, mode="magic")
    with pytest.raises(SettingsError, match="limit"):
        Limit()
    with pytest.raises(CalibrationError, match="3 labels for 20 samples"):
        Evaluator(graph, data, SETTINGS, labels=torch.zeros(3))
