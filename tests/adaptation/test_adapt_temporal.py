"""Biases per time step: what they bring, where they are kept, and which steps then decide."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from speck_adacal.adaptation import AdaptSettings, adapt_graph
from speck_adacal.adaptation.exit_bars import calibrated_exit
from speck_adacal.adaptation.measure import Evaluator
from speck_adacal.adaptation.pipeline import Pipeline
from speck_adacal.adaptation.plan import AdaptPlan, Stage
from speck_adacal.adaptation.sensitivity import sensitivity
from speck_adacal.adaptation.temporal import channel_means, fit_step_biases
from speck_adacal.ann import trace
from speck_adacal.errors import ModelError, SettingsError
from speck_adacal.recipe.recipe_files import recipe_from_data, recipe_to_data
from speck_adacal.snn import AdaFire, SpikingNetwork, repeat_in_time

ANALOG = AdaptSettings(time_steps=4, phi=1, input_coding="analog", per_channel=True)
TEMPORAL = replace(ANALOG, correction="temporal")


@pytest.fixture(scope="module")
def graph():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 6, 3), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(6, 8, 3), nn.ReLU(),
        nn.Flatten(), nn.Linear(8, 10), nn.ReLU(), nn.Linear(10, 4),
    )  # fmt: skip
    return trace(model, (1, 8, 8))


@pytest.fixture(scope="module")
def images():
    return torch.rand(160, 1, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def calibrated(graph, images):
    return adapt_graph(graph, [images], TEMPORAL)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    shape=st.sampled_from([(3,), (2, 4), (2, 4, 3)]),
    way=st.sampled_from(["new", "in place", "constant", "one by one"]),
    counts=st.booleans(),
)
def test_neurons_with_step_biases_are_neurons_whose_input_has_them(seed, shape, way, counts):
    generator = torch.Generator().manual_seed(seed)
    table = torch.randn(5, shape[0], generator=generator)
    steps = 7 if way != "constant" else 5  # after the table's end its last row goes on
    x = torch.randn(2, 1 if way == "constant" else steps, *shape, generator=generator)
    rows = torch.cat((table, table[-1:], table[-1:]))[:steps]
    added = x + rows.view(1, steps, -1, *(1,) * (len(shape) - 1))
    plain, biased = (
        AdaFire(0.6, 2, emit_counts=counts),
        AdaFire(0.6, 2, emit_counts=counts, step_bias=table),
    )
    expected = plain(added)
    if way == "one by one":
        found = torch.cat([biased(x[:, t : t + 1]) for t in range(steps)], 1)
    else:
        found = biased.run(x, steps, out=x if way == "in place" else None)
    assert torch.equal(found, expected)
    assert torch.equal(biased.v_mem, plain.v_mem)
    biased.reset_states()
    assert biased.steps_run == 0


def test_every_steps_mean_output_is_the_trained_networks(graph, images, calibrated):
    recipe, corrected = calibrated
    fitted_on = images[:120]
    network = SpikingNetwork(corrected, recipe)
    names = ("1", "4", graph.outputs[0])
    with torch.no_grad():
        found = network.run(fitted_on.unsqueeze(1), time_steps=4, keep=names)
        wanted = graph.run(fitted_on, keep=names)
    for name in names:
        target = channel_means([wanted[name]])
        for step in range(4):
            mean = channel_means([found[name][:, step]])
            torch.testing.assert_close(mean, target, rtol=0.05, atol=0.02)


@pytest.mark.parametrize("phi", [1, 3])
def test_a_bias_takes_off_at_least_half_of_the_residual(phi):
    """On one channel and step, beside no bias and beside the best of a grid."""
    generator = torch.Generator().manual_seed(phi)
    current = torch.randn(40, 1, 1, 25, generator=generator)
    neurons = AdaFire(torch.tensor([0.8]), phi, initial_potential=0.0)
    wanted = current.clamp_min(0).mean().view(1)
    table = fit_step_biases(neurons, [current], wanted, 1)

    def residual(bias: float) -> float:
        neurons.reset_states()
        return abs(float(neurons(current + bias).mean() - wanted))

    best = min(residual(float(b)) for b in np.linspace(-1, 1, 401))
    assert residual(float(table)) <= best + 0.5 * residual(0.0)


def test_steps_may_be_shown_one_by_one(images, calibrated):
    recipe, corrected = calibrated
    network = SpikingNetwork(corrected, recipe)
    with torch.no_grad():
        whole = network(repeat_in_time(images[:3], 4))
        network.reset()
        parts = [network(images[:3].unsqueeze(1), reset=False) for _ in range(4)]
    torch.testing.assert_close(torch.cat(parts, 1), whole)


def test_files_keep_biases_and_window(calibrated):
    recipe = replace(calibrated[0], first_step=3)
    again = recipe_from_data(*recipe_to_data(recipe))
    assert again.first_step == 3
    for old, new in zip(recipe.layers, again.layers, strict=True):
        np.testing.assert_array_equal(old.step_bias, new.step_bias)
    data, tensors = recipe_to_data(replace(recipe, layers=()))
    del data["first_step"]  # as older versions wrote it
    assert recipe_from_data(data, tensors).first_step == 1


def test_the_better_correction_and_window_on_held_out_samples_are_kept(graph, images):
    recipe, _ = adapt_graph(graph, [images], ANALOG)
    values = recipe.trace[-1].values
    kinds = ("both", "temporal", "temporal_weights")
    kind = min(kinds, key=lambda k: values[f"kl:{k}"])
    assert recipe.trace[-1].step == f"correction:{kind}"
    assert recipe.has_step_biases == (kind != "both")
    forced, corrected = adapt_graph(graph, [images], TEMPORAL)
    judge = Evaluator(graph, [images[120:]], TEMPORAL, temperature=None, fit_scale=True)
    measured = judge.measure_windows(forced, corrected)
    assert forced.first_step == 1 + int(np.argmin([m.kl for m in measured]))
    fixed, _ = adapt_graph(graph, [images], replace(TEMPORAL, first_step=2))
    assert fixed.first_step == 2


def test_what_leaves_nothing_to_choose(graph, images):
    """One step, few samples, events: the plain correction, and every step counts."""
    for settings_, samples in (
        (replace(ANALOG, time_steps=1), images),
        (ANALOG, images[:6]),
        (AdaptSettings(time_steps=4), repeat_in_time(images[:20], 4).round()),
    ):
        recipe, _ = adapt_graph(graph, [samples], settings_)
        assert recipe.first_step == 1
        assert not recipe.has_step_biases
    one_step, _ = adapt_graph(graph, [images], replace(TEMPORAL, time_steps=1))
    assert one_step.first_step == 1


def test_one_class_is_calibrated_too():
    graph = trace(nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1)), (3,))
    recipe, _ = adapt_graph(graph, [torch.rand(40, 3)], ANALOG)
    assert 1 <= recipe.first_step <= 4


def test_a_window_that_leaves_no_step_is_refused():
    with pytest.raises(SettingsError, match=r"at most time_steps, 4, .* found 5"):
        replace(ANALOG, first_step=5)


def test_outputs_before_the_window_neither_decide_nor_exit(graph, images, calibrated):
    recipe, corrected = calibrated
    recipe = replace(recipe, first_step=3)
    data = Evaluator(graph, [images], TEMPORAL)
    found = data.measure(recipe, corrected)
    assert not found.outputs[:, :2].any()
    network = SpikingNetwork(corrected, recipe)
    with torch.no_grad():
        late = network(repeat_in_time(images, 4))[:, 2:].mean(1)
    np.testing.assert_allclose(found.outputs[:, 2:].mean(1), late, atol=1e-5)
    rule, _ = calibrated_exit(
        data, Stage("", recipe, corrected, 0.0, 0.0), AdaptPlan(exit_loss=0.5, exit_metric="top")
    )
    assert rule.exits(found.outputs.cumsum(1)).min() >= 2


def test_tables_in_situ_are_of_the_network_with_its_biases(graph, images, calibrated):
    recipe, corrected = calibrated
    recipe = replace(recipe, first_step=2)
    evaluator = Evaluator(graph, [images], TEMPORAL)
    options = {x.name: [x, replace(x, step_bias=None)] for x in recipe.layers if not x.readout}
    table = sensitivity(evaluator, recipe, options, graph=corrected)
    measured = evaluator.measure(recipe, corrected)
    assert table.reference_kl == pytest.approx(measured.kl)
    assert table.kl[:, 0] == pytest.approx(measured.kl)
    without = replace(recipe, layers=(options[recipe.layers[0].name][1], *recipe.layers[1:]))
    assert table.kl[0, 1] == pytest.approx(evaluator.measure(without, corrected).kl, rel=1e-4)


def test_a_search_goes_on_as_its_start_was_corrected(graph, images):
    plan = AdaptPlan(search_rho=False, exit_early=False, refinements=1, evaluations=2, phis=(1, 2))
    pipeline = Pipeline(graph, [images], TEMPORAL, plan)
    start = pipeline.uniform(1)
    found = pipeline.search_phi(start)
    assert start.correction == found.correction == "temporal"
    assert found.recipe.first_step == start.recipe.first_step
    assert found.kl <= start.kl


def test_sinabs_has_no_such_neurons():
    with pytest.raises(ModelError, match="no biases per time step"):
        AdaFire(1.0, emit_counts=True, step_bias=torch.zeros(2, 3)).as_iaf()
