"""Early exits, by windows and by time steps: confidences, and bars to a stated loss."""

from __future__ import annotations

import numpy as np
import pytest

from speck_adacal.errors import CalibrationError, SettingsError
from speck_adacal.inspection.exit_calibration import windowed_output
from speck_adacal.readout.class_map import ClassMap
from speck_adacal.readout.early_exit import (
    METRICS,
    ExitRule,
    apply_rule,
    calibrate_exit_rule,
)
from speck_adacal.twin import Spikes


def noisy_counts(recordings=400, windows=12, classes=4, seed=0):
    """Easy recordings that are clear at once, and hard ones that become so."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, recordings)
    easy = rng.random(recordings) < 0.6
    rate = np.ones((recordings, classes))
    rate[np.arange(recordings), labels] += np.where(easy, 4.0, 0.7)
    return rng.poisson(rate[:, None], (recordings, windows, classes)), labels


@pytest.mark.parametrize("metric", METRICS)
def test_confidence_grows_with_evidence_and_is_zero_without(metric):
    rule = ExitRule((0.5,), metric, temperature=3.0)
    sure = rule.confidence([[0, 0, 0], [2, 1, 1], [4, 2, 2], [400, 2, 2]])
    assert sure[0] == 0
    assert np.all(np.diff(sure) > 0)
    assert sure[-1] == pytest.approx(1)


def test_a_margin_is_the_first_class_against_the_second_alone():
    counts = np.array([3.0, 1.0, 0.5])
    p = np.exp(counts / 2) / np.exp(counts / 2).sum()
    sure = ExitRule((0.5,), "margin", temperature=2.0).confidence(counts)
    assert sure == pytest.approx(p[0] / (p[0] + p[1]))


def noisy_steps(count=400, steps=8, classes=5, seed=0):
    """Values per time step whose sum gets clearer with time; some samples are harder."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, count)
    strength = generator.uniform(0.3, 4.0, (count, 1, 1))
    noise = generator.normal(0, 1.5, (count, steps, classes))
    return (strength * np.eye(classes)[labels][:, None] + noise).astype(np.float32), labels


@pytest.mark.parametrize("metric", METRICS)
def test_the_same_rule_serves_time_steps(metric):
    outputs, labels = noisy_steps()
    rule = calibrate_exit_rule(outputs, labels, 0.02, metric=metric)
    unseen, unseen_labels = noisy_steps(seed=1)
    full = (unseen.sum(1).argmax(1) == unseen_labels).mean()
    found = apply_rule(rule, unseen, unseen_labels)
    assert found.mean_windows < 6
    assert found.accuracy > full - 0.06
    strict = calibrate_exit_rule(outputs, labels, 0.0, metric=metric)
    assert apply_rule(strict, unseen, unseen_labels).mean_windows >= found.mean_windows
    scaled = calibrate_exit_rule(outputs * 10, labels, 0.02, metric=metric)
    assert scaled.temperature == pytest.approx(10 * rule.temperature, rel=0.1)


def test_an_exit_decides_as_it_is_told_where_classes_lead_with_equal_counts():
    """On the chip the class that got there first leads, not the one with the lowest number."""
    counts = np.tile(np.array([[1, 1], [0, 0]]), (60, 1, 1))
    labels = np.ones(60, np.int64)
    leaders = np.ones((60, 2), np.int64)
    rule = ExitRule((0.0, 0.0))
    assert apply_rule(rule, counts, labels).accuracy == 0
    assert apply_rule(rule, counts, labels, leaders=leaders).accuracy == 1


def test_a_rule_of_another_length_is_refused():
    with pytest.raises(SettingsError, match="2 bars for 8"):
        apply_rule(ExitRule((1.0, 1.0)), *noisy_steps())


@pytest.mark.parametrize("metric", METRICS)
def test_a_rule_keeps_its_promise_on_other_recordings(metric):
    counts, labels = noisy_counts(2000)
    rule = calibrate_exit_rule(counts[:1000], labels[:1000], 0.01, metric=metric)
    sums = counts[1000:].cumsum(1)
    exits = rule.exits(sums)
    right = sums.argmax(2) == labels[1000:, None]
    lost = right[:, -1].mean() - right[np.arange(1000), exits].mean()
    assert lost <= 0.01 + 2 * 0.007  # two standard errors of this difference
    assert np.median(exits) < 6
    assert len(rule.bars) == 12


def test_more_loss_never_stops_later():
    counts, labels = noisy_counts()
    sums = counts.cumsum(1)
    windows = []
    for loss in (0.0, 0.01, 0.05):
        rule = calibrate_exit_rule(counts, labels, loss)
        windows.append(rule.exits(sums).mean())
    assert windows[0] >= windows[1] >= windows[2]


def test_calibration_is_the_same_twice():
    counts, labels = noisy_counts()
    one = calibrate_exit_rule(counts, labels, 0.01, seed=3)
    assert one == calibrate_exit_rule(counts, labels, 0.01, seed=3)


def test_silence_never_exits():
    labels = np.arange(60) % 3
    rule = calibrate_exit_rule(np.zeros((60, 5, 3), int), labels, 0.5)
    assert rule.exits(np.zeros((60, 5, 3))).min() == 4


@pytest.mark.parametrize(
    ("counts", "labels"),
    [
        (np.zeros((49, 2, 3)), np.zeros(49)),
        (np.zeros((60, 2, 3)), np.zeros(59)),
        (np.zeros((60, 2)), np.zeros(60)),
    ],
)
def test_too_few_or_unlabelled_recordings_are_refused(counts, labels):
    with pytest.raises(CalibrationError, match=r"at least 50|60 samples but 59 labels"):
        calibrate_exit_rule(counts, labels, 0.01)


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"bars": ()}, "one or more"),
        ({"bars": (float("nan"),)}, "a number, found nan"),
        ({"bars": (1.0,), "metric": "mood"}, "metric"),
        ({"bars": (1.0,), "temperature": 0.0}, "above 0"),
    ],
)
def test_a_rule_of_nonsense_is_refused(fields, what):
    with pytest.raises(SettingsError, match=what):
        ExitRule(**fields)


def test_spikes_are_counted_by_window_and_class():
    t = np.array([0, 9, 10, 35])
    zero = np.zeros(4, np.int16)
    spikes = Spikes(t, zero, zero, np.array([1, 1, 0, 2], np.int16), np.arange(4), (3, 1, 1))
    one_each = ClassMap(np.arange(3).reshape(3, 1, 1), 3)
    found = windowed_output(one_each, [spikes], window_us=10, windows=3)
    assert found.counts.tolist() == [[[0, 2, 0], [1, 0, 0], [0, 0, 1]]]
    assert found.leaders.tolist() == [[1, 1, 1]]
