"""Statistics of recordings, on recordings whose statistics are known."""

import numpy as np
import pytest

from speck_adacal.datasets.camera_sets import simulated_recordings
from speck_adacal.errors import DataError
from speck_adacal.events.statistics import event_statistics, map_correlation, overlap
from speck_adacal.events.types import Events


def make(t, x, y, p, shape=(2, 4, 5)):
    return Events(np.array(t), np.array(x), np.array(y), np.array(p), shape)


def test_known_recordings():
    one = make([0, 100, 6000, 29_999], [1, 1, 1, 4], [2, 2, 2, 3], [0, 0, 1, 1])
    two = make([40_000], [0], [0], [0])
    found = event_statistics([one, two], window_us=30_000)
    assert found.counts.tolist() == [4, 1]
    assert found.on_share.tolist() == [0.5, 0.0]
    assert found.last_us.tolist() == [29_999, 40_000]
    assert found.profile.tolist() == [[1, 0, 0, 0, 0, 0.5], [0, 0.5, 0, 0, 0, 0.5]]
    assert found.per_pixel[:4].tolist() == [18.5, 1.0, 0.0, 0.5]
    assert found.intervals.sum(axis=1).tolist() == [0.5, 0.5]
    assert found.maps.shape == (2, 3, 2, 4, 5)
    assert found.maps[0, 0, 0, 2, 1] == 2
    assert found.maps[1, 2, 0, 0, 0] == 1
    np.testing.assert_allclose(map_correlation(found, found), 1.0)


def test_overlap_of_histograms():
    assert overlap(np.array([1.0, 2]), np.array([1.0, 2])) == 1.0
    assert overlap(np.array([1.0, 0]), np.array([0, 3.0])) == 0.0
    assert overlap(np.array([2.0, 0]), np.array([1.0, 1])) == 0.5
    assert overlap(np.zeros(2), np.zeros(2)) == 1.0


def test_no_empty_or_mixed_recordings():
    good = make([1], [0], [0], [0])
    with pytest.raises(DataError, match="at least one"):
        event_statistics([], window_us=1000)
    for bad in (make([], [], [], []), make([1], [0], [0], [0], (2, 5, 5))):
        with pytest.raises(DataError, match="Recording 1"):
            event_statistics([good, bad], window_us=1000)


def test_camera_model_resembles_the_recordings(shared_data):
    """The validation of `scripts/validate_camera_model.py`, small, and on other digits than the
    recorded ones: what is compared does not depend on the single digit."""
    with np.load(shared_data / "nmnist_train1000.npz", allow_pickle=False) as file:
        x, y, p, t, offsets = (file[k] for k in ("x", "y", "p", "t", "offsets"))
    real = []
    for k in range(40, 80):
        s = slice(offsets[k], offsets[k + 1])
        real.append(Events(t[s], x[s], y[s], p[s].astype(np.int16), (2, 34, 34)))
    from speck_adacal.datasets.demo import load_demo_digits

    digits = load_demo_digits().calibration_images[:40]
    window = 315_000
    recorded = event_statistics(real, window_us=window)
    simulated = event_statistics(simulated_recordings(digits, seed=0), window_us=window)
    assert abs(np.log(simulated.counts.mean() / recorded.counts.mean())) < 0.2
    assert abs(simulated.on_share.mean() - recorded.on_share.mean()) < 0.03
    assert abs(simulated.last_us.mean() - recorded.last_us.mean()) < 10_000
    assert overlap(recorded.profile, simulated.profile) > 0.85
    assert overlap(recorded.per_pixel[1:], simulated.per_pixel[1:]) > 0.85
    assert overlap(recorded.intervals, simulated.intervals) > 0.9
