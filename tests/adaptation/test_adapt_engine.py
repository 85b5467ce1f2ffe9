"""Calibration: histograms, thresholds, corrections, and what bad input gets."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from speck_adacal.adaptation import AdaptSettings, adapt_graph
from speck_adacal.adaptation.corrections import correct
from speck_adacal.adaptation.engine import recipe_of
from speck_adacal.adaptation.histogram import ActivationHistogram, clip_floor_errors
from speck_adacal.adaptation.thresholds import observe, search_grid
from speck_adacal.ann import trace
from speck_adacal.errors import CalibrationError, ModelError
from speck_adacal.samples.encoded import encoded_batches
from speck_adacal.snn import SpikingNetwork, repeat_in_time


def clip_floor(z, steps, threshold, phi):
    level = np.clip(np.floor(steps * z / threshold + 0.5), 0, steps * phi)
    return level * threshold / steps


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    phi=st.integers(1, 8),
    steps=st.integers(1, 8),
    scale=st.floats(1e-3, 1e3),
    batches=st.integers(1, 4),
)
def test_thresholds_from_histograms_are_as_good_as_from_the_data(seed, phi, steps, scale, batches):
    generator = np.random.default_rng(seed)
    data = (generator.standard_normal((batches, 7, 2, 60)) * scale).astype(np.float32)
    data *= np.arange(1, batches + 1, dtype=np.float32)[:, None, None, None]
    histogram = ActivationHistogram(2)
    for batch in data:
        histogram.observe(batch)
    found = search_grid(histogram, steps, phi)
    for channel in range(2):
        z = np.maximum(data[:, :, channel].astype(np.float64), 0).ravel()
        grid = z.max() / phi * np.linspace(0.01, 1, 100)
        errors = [np.square(clip_floor(z, steps, v, phi) - z).sum() for v in grid]
        error = np.square(clip_floor(z, steps, found[channel], phi) - z).sum()
        assert error <= min(errors) * 1.02 + 1e-12
        assert histogram.peak[channel] == z.max()


def test_histogram_errors_are_exact_where_no_step_cuts_a_bin():
    z = np.arange(1, 65, dtype=np.float32)[None, None] / 4
    histogram = ActivationHistogram(1, bins=256)
    histogram.observe(z)
    grid = np.array([[4.0]])
    tables = (histogram.counts, histogram.sums, histogram.squares)
    found = clip_floor_errors(*tables, grid, 2, 3, 0.5)[0, 0]
    assert found == pytest.approx(np.square(clip_floor(z.astype(float), 2, 4.0, 3) - z).sum())


def small_network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AvgPool2d(2),
        nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 10), nn.ReLU(),
        nn.Linear(10, 4),
    ).eval()  # fmt: skip


def error_of(graph, recipe, corrected, x, steps):
    network = SpikingNetwork(corrected, recipe)
    with torch.no_grad():
        target = graph.run(x)[graph.outputs[0]]
        return float((network(repeat_in_time(x, steps)).mean(1) - target).square().mean())


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("correction", ["bias", "both", "weights"])
def test_corrections_bring_the_output_nearer(correction, per_channel):
    common = {"time_steps": 4, "phi": 1, "input_coding": "analog", "per_channel": per_channel}
    torch.manual_seed(1)
    x, unseen = torch.rand(200, 1, 8, 8), torch.rand(100, 1, 8, 8)
    errors = {correction: 0.0, "none": 0.0}
    for seed in range(4):
        graph = trace(small_network(seed), (1, 8, 8))
        for kind in errors:
            recipe, corrected = adapt_graph(graph, [x], AdaptSettings(correction=kind, **common))
            errors[kind] += error_of(graph, recipe, corrected, unseen, 4)
    assert errors[correction] < errors["none"]


def test_adam_comes_near_the_closed_form(monkeypatch):
    """Where a layer has too many inputs for a normal matrix, steps of Adam do nearly as well."""
    from speck_adacal.adaptation import reconstruct

    common = {"time_steps": 4, "phi": 1, "input_coding": "analog"}
    torch.manual_seed(1)
    x = torch.rand(200, 1, 8, 8)
    errors = dict.fromkeys(("none", "closed", "adam"), 0.0)
    for seed in range(3):
        graph = trace(small_network(seed), (1, 8, 8))
        for way in errors:
            monkeypatch.setattr(reconstruct, "LARGEST_FAN_IN", 0 if way == "adam" else 4608)
            kind = "none" if way == "none" else "weights"
            recipe, corrected = adapt_graph(graph, [x], AdaptSettings(correction=kind, **common))
            errors[way] += error_of(graph, recipe, corrected, x, 4)
    assert errors["closed"] < errors["none"]
    assert errors["none"] - errors["adam"] > 0.7 * (errors["none"] - errors["closed"])


def first_layer_error(graph, recipe, corrected, x, steps):
    network = SpikingNetwork(corrected, recipe)
    with torch.no_grad():
        found = network.run(x.unsqueeze(1), time_steps=steps, keep=["2"])["2"].mean(1)
        return float((graph.run(x, keep=["2"])["2"] - found).square().mean())


@pytest.mark.parametrize("correction", ["potential", "bias"])
def test_corrections_mend_neurons_that_start_empty(correction):
    """Without the half threshold at the start every output is too low by half a step."""
    graph = trace(small_network(), (1, 8, 8))
    torch.manual_seed(1)
    x = torch.rand(200, 1, 8, 8)
    settings_ = AdaptSettings(time_steps=2, phi=1, input_coding="analog", correction=correction)
    data = encoded_batches([x], graph.input_shape, settings_)
    recipe = recipe_of(observe(graph, data), settings_, 1)
    empty = [replace(layer, initial_potential=np.zeros(())) for layer in recipe.layers]
    recipe = replace(recipe, layers=tuple(empty))
    before = first_layer_error(graph, recipe, graph, x, 2)
    result = correct(graph, recipe, data, settings_)
    after = first_layer_error(graph, result.recipe, result.graph, x, 2)
    assert after < 0.5 * before
    assert result.errors["2"] == pytest.approx(after, rel=1e-3)


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("correction", ["potential", "both"])
def test_what_calibration_returns(correction, per_channel):
    graph = trace(small_network(), (1, 8, 8))
    settings_ = AdaptSettings(
        correction=correction, per_channel=per_channel, input_coding="analog", time_steps=4
    )
    recipe, corrected = adapt_graph(graph, [torch.rand(40, 1, 8, 8)], settings_)
    assert (corrected is graph) == (correction == "potential")
    before = graph["0"].module.weight
    assert torch.equal(before, trace(small_network(), (1, 8, 8))["0"].module.weight)
    shape = (8,) if per_channel else ()
    assert recipe["2"].threshold.shape == shape
    assert recipe["9"].readout
    assert {r.step.split(":")[0] for r in recipe.trace} == {"thresholds", "correction"}


def test_event_counts_calibrate_on_their_mean():
    graph = trace(small_network(), (1, 8, 8))
    torch.manual_seed(1)
    frames = (torch.rand(64, 8, 1, 8, 8) < 0.3).float()
    recipe, _ = adapt_graph(graph, iter(frames.split(20)), AdaptSettings(time_steps=8, phi=4))
    network = SpikingNetwork(graph, recipe)
    with torch.no_grad():
        target = graph.run(frames.mean(1))[graph.outputs[0]]
        found = network(frames).mean(1)
    assert float((found - target).square().mean()) < 0.3 * float(target.var())


def test_results_repeat_exactly():
    graph = trace(small_network(), (1, 8, 8))
    x = [torch.rand(50, 1, 8, 8)]
    settings_ = AdaptSettings(input_coding="analog", time_steps=4)
    first, second = (adapt_graph(graph, x, settings_)[0] for _ in range(2))
    for a, b in zip(first.layers, second.layers, strict=True):
        assert np.array_equal(a.threshold, b.threshold)
        assert np.array_equal(a.initial_potential, b.initial_potential)


@pytest.mark.parametrize("method", ["max", "percentile"])
def test_other_threshold_methods(method):
    graph = trace(small_network(), (1, 8, 8))
    x = torch.rand(50, 1, 8, 8)
    recipe, _ = adapt_graph(
        graph, [x], AdaptSettings(input_coding="analog", threshold_method=method, phi=2)
    )
    with torch.no_grad():
        top = float(graph.run(x, keep=["2"])["2"].max())
    value = float(recipe["2"].threshold)
    assert value == pytest.approx(top / 2) if method == "max" else 0.2 * top < value < top / 2


def test_dead_layers_and_channels_are_named_and_stay_silent(caplog):
    model = small_network()
    model[7].bias.data.fill_(-100)
    graph = trace(model, (1, 8, 8))
    settings_ = AdaptSettings(input_coding="analog", per_channel=True)
    recipe, _ = adapt_graph(graph, [torch.rand(20, 1, 8, 8)], settings_)
    assert "Layer 8 is dead" in caplog.text
    assert (recipe["8"].threshold > 0).all()
    assert recipe.trace[0].values["dead:8"] == 10


@pytest.mark.parametrize(
    ("batches", "words"),
    [
        ([], "no samples"),
        ([torch.zeros(0, 1, 8, 8)], "no samples"),
        ([torch.zeros(2, 1, 8, 8), torch.zeros(2, 1, 9, 8)], "batch 1"),
        ([torch.full((2, 1, 8, 8), float("nan"))], "NaN"),
        ([np.zeros((2, 1, 8, 8))], "ndarray"),
    ],
)
def test_bad_calibration_data_are_refused(batches, words):
    graph = trace(small_network(), (1, 8, 8))
    with pytest.raises(CalibrationError, match=words):
        adapt_graph(graph, batches, AdaptSettings(input_coding="analog"))


def test_bad_activations_name_layer_and_batch():
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2))
    model[0].weight.data.fill_(4e37)
    graph = trace(model, (2,))
    data = [torch.zeros(1, 2), torch.full((1, 2), 9.0)]
    with pytest.raises(CalibrationError, match=r"Layer '1' gives NaN .* batch 1"):
        adapt_graph(graph, data, AdaptSettings(input_coding="analog", batch_size=1))


def test_a_network_without_rectifiers_is_refused():
    graph = trace(nn.Sequential(nn.Linear(2, 2)), (2,))
    with pytest.raises(ModelError, match="no layer would spike"):
        adapt_graph(graph, [torch.zeros(1, 2)], AdaptSettings(input_coding="analog"))


def test_potentials_of_single_neurons_are_corrected_by_their_channel():
    """A layer whose neurons start at different potentials, on maps as wide as it has channels."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(27, 2))
    graph, x = trace(model, (1, 5, 5)), torch.rand(60, 1, 5, 5)
    settings_ = AdaptSettings(time_steps=2, input_coding="analog", correction="potential")
    data = encoded_batches([x], graph.input_shape, settings_)
    recipe = recipe_of(observe(graph, data), settings_, 1)
    start = recipe["1"].firing_threshold * torch.rand(3, 3, 3, dtype=torch.float64).numpy()
    layers = [replace(recipe.layers[0], initial_potential=start), *recipe.layers[1:]]
    found = correct(graph, replace(recipe, layers=tuple(layers)), data, settings_)
    moved = found.recipe["1"].initial_potential - start
    np.testing.assert_allclose(moved, np.broadcast_to(moved[:, :1, :1], moved.shape), atol=1e-6)
    assert np.abs(moved).max() > 0
