"""Early exits: bars, and that an exit really stops."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from speck_adacal.adaptation.early_exit import run_until_sure
from speck_adacal.ann import Kind, trace
from speck_adacal.errors import CalibrationError, SettingsError
from speck_adacal.readout.step_exit import (
    METRICS,
    ExitRule,
    apply_rule,
    calibrate_exit,
    closed_form,
    confidence,
    fit_temperature,
    running_mean,
)
from speck_adacal.recipe.recipe import LayerRecipe
from speck_adacal.snn import SpikingNetwork, repeat_in_time


def noisy_answers(count=400, steps=8, classes=5, seed=0):
    """Outputs whose running mean gets better with time; some samples are harder."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, count)
    strength = generator.uniform(0.3, 4.0, (count, 1, 1))
    outputs = strength * np.eye(classes)[labels][:, None] + generator.normal(
        0, 1.5, (count, steps, classes)
    )
    return outputs.astype(np.float32), labels


@pytest.mark.parametrize("metric", METRICS)
def test_confidence_is_between_none_and_full(metric):
    means = np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [900.0, 0.0, -900.0]])
    values = confidence(means, metric)
    assert values[0] == pytest.approx(0 if metric != "top" else 1 / 3)
    assert 0 < values[1] < 1
    assert values[2] == pytest.approx(1)


@pytest.mark.parametrize("metric", METRICS)
def test_calibrated_bars_save_steps_within_the_loss(metric):
    outputs, labels = noisy_answers()
    rule = calibrate_exit(outputs, labels, 0.02, metric=metric)
    unseen, unseen_labels = noisy_answers(seed=1)
    full = (running_mean(unseen)[:, -1].argmax(1) == unseen_labels).mean()
    found = apply_rule(rule, unseen, unseen_labels)
    assert found.mean_steps < 6
    assert found.accuracy > full - 0.06
    strict = calibrate_exit(outputs, labels, 0.0, metric=metric)
    assert apply_rule(strict, unseen, unseen_labels).mean_steps >= found.mean_steps


def test_temperature_fits_the_scale():
    outputs, labels = noisy_answers(steps=1)
    ten_times = fit_temperature(outputs * 10, labels)
    assert ten_times == pytest.approx(10 * fit_temperature(outputs, labels), rel=0.1)


def test_closed_form_has_both_signs():
    outputs, _ = noisy_answers()
    printed, text = (closed_form(outputs, sign=s, base=0.1, beta=0.2) for s in (-1, 1))
    uncertainty = 1 - confidence(running_mean(outputs)).mean(0)
    order = np.argsort(uncertainty)
    assert (np.diff(np.array(printed.bars)[order]) <= 0).all()
    assert (np.diff(np.array(text.bars)[order]) >= 0).all()
    expected = 0.1 + 0.2 * np.exp(-(uncertainty - uncertainty.min()))
    np.testing.assert_allclose(printed.bars, expected)


def network_and_data():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 5)
    )
    graph = trace(model, (1, 8, 8))
    graph["4"].module.weight.data.mul_(6)
    value = np.asarray(0.3)
    recipe = {n.name: LayerRecipe(n.name, 3, 1.0, value, value / 2) for n in
              graph.of_kind(Kind.ACTIVATION)}  # fmt: skip
    return SpikingNetwork(graph, recipe), torch.rand(24, 1, 8, 8)


@pytest.mark.parametrize("analog", [True, False])
def test_an_exit_really_stops_and_changes_no_answer(analog):
    network, x = network_and_data()
    network.count_synops()
    frames = x if analog else (torch.rand(24, 6, 1, 8, 8) < 0.4).float()
    with torch.no_grad():
        every = network(repeat_in_time(frames, 6)) if analog else network(frames)
    activity = network.activity()
    middle = float(np.median(confidence(running_mean(every.numpy()))[:, 2]))
    rule = ExitRule((2.0, middle, middle, 2.0, middle, 0.0))
    looked_up = apply_rule(rule, every.numpy(), np.zeros(24, np.int64))
    seen = []
    network.layer("0").register_forward_hook(lambda m, i, o: seen.append(len(o)))
    found = run_until_sure(network, frames, rule, analog=analog)
    assert found.steps.tolist() == looked_up.steps.tolist()
    assert len(set(found.steps.tolist())) > 1
    means = running_mean(every.numpy())[np.arange(24), found.steps - 1]
    np.testing.assert_allclose(found.outputs, means, atol=1e-5)
    spikes = sum(a.spikes.cumsum(1).numpy() for a in activity.values())
    np.testing.assert_allclose(found.spikes, spikes[np.arange(24), found.steps - 1])
    synops = sum(a.synops.cumsum(1).numpy() for a in activity.values())
    np.testing.assert_allclose(found.synops, synops[np.arange(24), found.steps - 1])
    assert seen == [int((found.steps > t).sum()) for t in range(found.steps.max())]


def test_bad_requests_are_refused():
    outputs, labels = noisy_answers()
    network, x = network_and_data()
    with pytest.raises(CalibrationError, match="at least 20"):
        calibrate_exit(outputs[:5], labels[:5], 0.1)
    with pytest.raises(CalibrationError, match="3 targets"):
        calibrate_exit(outputs, labels[:3], 0.1)
    with pytest.raises(SettingsError, match="metric"):
        ExitRule((1.0,), metric="mood")
    with pytest.raises(SettingsError, match="sign"):
        closed_form(outputs, sign=0)
    with pytest.raises(SettingsError, match="2 bars"):
        apply_rule(ExitRule((1.0, 1.0)), outputs, labels)
    with pytest.raises(SettingsError, match="2 bars"):
        run_until_sure(network, x.unsqueeze(1), ExitRule((1.0, 1.0)))
