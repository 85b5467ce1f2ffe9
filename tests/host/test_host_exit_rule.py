"""Exit rules on windows: confidences, and calibration to a stated loss."""

from __future__ import annotations

import numpy as np
import pytest

from speck_adacal.errors import CalibrationError, SettingsError
from speck_adacal.inspection.exit_calibration import windowed_output
from speck_adacal.readout.class_map import ClassMap
from speck_adacal.readout.exit_rule import (
    METRICS,
    WindowRule,
    calibrate_window_rule,
    first_sure,
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
    rule = WindowRule((0.5,), metric, temperature=3.0)
    sure = rule.confidence([[0, 0, 0], [2, 1, 1], [4, 2, 2], [400, 2, 2]])
    assert sure[0] == 0
    assert np.all(np.diff(sure) > 0)
    assert sure[-1] == pytest.approx(1)


@pytest.mark.parametrize("metric", METRICS)
def test_a_rule_keeps_its_promise_on_other_recordings(metric):
    counts, labels = noisy_counts(2000)
    rule = calibrate_window_rule(counts[:1000], labels[:1000], 0.01, metric=metric)
    sums = counts[1000:].cumsum(1)
    exits = first_sure(rule.confidence(sums), np.array(rule.bars))
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
        rule = calibrate_window_rule(counts, labels, loss)
        windows.append(first_sure(rule.confidence(sums), np.array(rule.bars)).mean())
    assert windows[0] >= windows[1] >= windows[2]


def test_calibration_is_the_same_twice():
    counts, labels = noisy_counts()
    one = calibrate_window_rule(counts, labels, 0.01, seed=3)
    assert one == calibrate_window_rule(counts, labels, 0.01, seed=3)


def test_silence_never_exits():
    labels = np.arange(60) % 3
    rule = calibrate_window_rule(np.zeros((60, 5, 3), int), labels, 0.5)
    assert first_sure(rule.confidence(np.zeros((60, 5, 3))), np.array(rule.bars)).min() == 4


@pytest.mark.parametrize(
    ("counts", "labels"),
    [
        (np.zeros((49, 2, 3)), np.zeros(49)),
        (np.zeros((60, 2, 3)), np.zeros(59)),
        (np.zeros((60, 2)), np.zeros(60)),
    ],
)
def test_too_few_or_unlabelled_recordings_are_refused(counts, labels):
    with pytest.raises(CalibrationError, match="at least 50"):
        calibrate_window_rule(counts, labels, 0.01)


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
        WindowRule(**fields)


def test_spikes_are_counted_by_window_and_class():
    t = np.array([0, 9, 10, 35])
    zero = np.zeros(4, np.int16)
    spikes = Spikes(t, zero, zero, np.array([1, 1, 0, 2], np.int16), np.arange(4), (3, 1, 1))
    one_each = ClassMap(np.arange(3).reshape(3, 1, 1), 3)
    found = windowed_output(one_each, [spikes], window_us=10, windows=3)
    assert found.counts.tolist() == [[[0, 2, 0], [1, 0, 0], [0, 0, 1]]]
    assert found.leaders.tolist() == [[1, 1, 1]]
