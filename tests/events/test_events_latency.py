"""Latency coding: one event a pixel, brighter first."""

import numpy as np
import pytest

from speck_adacal.errors import DataError, SettingsError
from speck_adacal.events.latency import latency_code


def test_brighter_pixels_fire_earlier_and_dark_ones_not():
    image = np.array([[1.0, 0.5], [0.25, 0.0]])
    events = latency_code(image, window_us=1000, threshold=0.0)
    assert events.t_us.tolist() == [0, 500, 750]
    assert list(zip(events.x, events.y, strict=True)) == [(0, 0), (1, 0), (0, 1)]
    assert events.duration_us == 1000


def test_the_last_pixel_above_threshold_fires_within_the_window():
    events = latency_code(np.array([[0.2001, 0.2, 0.6]]), window_us=800, threshold=0.2)
    assert events.t_us.tolist() == [400, 799]


def test_every_pixel_once_and_spread_where_times_are_equal():
    events = latency_code(np.full((16, 16), 0.7), window_us=100)
    assert len(set(zip(events.x.tolist(), events.y.tolist(), strict=True))) == 256
    first = np.bincount(events.y[:16] // 4 * 4 + events.x[:16] // 4, minlength=16)
    assert set(first) == {1}


def test_order_of_times_is_order_of_intensity():
    image = np.random.default_rng(0).random((2, 9, 7))
    events = latency_code(image, window_us=100_000, threshold=0.1)
    values = image[events.channel, events.y, events.x]
    assert len(events) == (image > 0.1).sum()
    assert np.all(np.diff(values) < 1e-5)  # a microsecond is 9e-6


@pytest.mark.parametrize("image", [np.full((2, 2), 1.5), np.full((2, 2), np.nan), np.zeros(3)])
def test_bad_images(image):
    with pytest.raises(DataError):
        latency_code(image)


@pytest.mark.parametrize("wrong", [{"window_us": 0}, {"threshold": 1.0}, {"threshold": -0.1}])
def test_bad_settings(wrong):
    with pytest.raises(SettingsError):
        latency_code(np.zeros((2, 2)), **wrong)
