"""The event camera's model: physics that must hold, a slow reference, and determinism."""

import math

import numpy as np
import pytest

from speck_adacal.datasets.camera_sets import Spread, simulated_recordings
from speck_adacal.errors import DataError, SettingsError
from speck_adacal.events.camera import NMNIST_CAMERA, CameraSettings, camera_events
from speck_adacal.events.camera_kernel import pixel_events
from speck_adacal.events.motion import NMNIST_SACCADES, Motion, Sweep

IDEAL = CameraSettings(
    height=12,
    width=12,
    threshold=0.2,
    mismatch=0.0,
    black_level=0.5,
    blur_px=0.0,
    time_constant_us=0.0,
    refractory_us=0.0,
    noise_hz=0.0,
    step_us=500,
)
RIGHT = Motion(0.0, 0.0, (Sweep(1000, 50_000, 3.0),), (), 60_000)
STILL = Motion(0.0, 0.0, (), (), 100_000)


def edge():
    image = np.zeros((12, 12))
    image[:, :6] = 1.0
    return image


def slow_pixel_events(light, path, times, thresholds, keep, refractory):
    """The same model, written pixel by pixel without any shortcut."""
    rows = []
    height, width = thresholds.shape[1:]

    def log_light(k, x, y):
        px = min(max(x + width - path[k, 0], 0.0), light.shape[1] - 1.001)
        py = min(max(y + height - path[k, 1], 0.0), light.shape[0] - 1.001)
        c, r = int(px), int(py)
        fx, fy = px - c, py - r
        top = light[r, c] * (1 - fx) + light[r, c + 1] * fx
        low = light[r + 1, c] * (1 - fx) + light[r + 1, c + 1] * fx
        return math.log(top * (1 - fy) + low * fy)

    for y in range(height):
        for x in range(width):
            levels = [log_light(0, x, y)]
            for k in range(1, len(times)):
                target = log_light(k, x, y)
                levels.append(target + keep * (levels[-1] - target))
            reference, blind = levels[0], -1.0
            for k in range(1, len(times)):
                slope = (levels[k] - levels[k - 1]) / (times[k] - times[k - 1])
                while True:
                    start = times[k - 1]
                    if blind > start:
                        if blind >= times[k]:
                            break
                        start = blind
                        if refractory > 0:
                            reference = levels[k - 1] + slope * (start - times[k - 1])
                    on = levels[k] > reference
                    step = thresholds[int(on), y, x]
                    goal = reference + step if on else reference - step
                    reached = levels[k] >= goal if on else levels[k] <= goal
                    if not reached or (slope <= 0 if on else slope >= 0):
                        break
                    moment = max(start, times[k - 1] + (goal - levels[k - 1]) / slope)
                    rows.append((int(moment), x, y, int(on)))
                    reference, blind = goal, moment + refractory
    return np.array(rows, dtype=np.int64).reshape(-1, 4)


@pytest.mark.parametrize("refractory", [0.0, 300.0, 5000.0])
@pytest.mark.parametrize("keep", [0.0, 0.6])
def test_kernel_equals_the_slow_reference(refractory, keep):
    rng = np.random.default_rng(3)
    light = rng.random((15, 18)) + 0.2
    times = np.arange(0, 20_001, 1000).astype(float)
    path = rng.normal(0, 1, (21, 2)).cumsum(axis=0)
    thresholds = 0.1 + 0.1 * rng.random((2, 5, 6))
    found = pixel_events(light, path, times, thresholds, keep, refractory)
    expected = slow_pixel_events(light, path, times, thresholds, keep, refractory)
    assert len(expected) > 50
    np.testing.assert_array_equal(found, expected)


def test_an_edge_makes_as_many_events_as_thresholds_fit_in_its_contrast():
    events = camera_events(edge(), motion=RIGHT, settings=IDEAL)
    contrast = math.log(1.5 / 0.5)
    passed = (events.x >= 6) & (events.x < 8)  # columns that the edge crosses whole
    assert passed.sum() == 2 * 12 * int(contrast / IDEAL.threshold)
    assert np.all(events.channel[passed] == 1)  # dark becomes bright
    assert not np.any(events.x == 11)


def test_what_stands_still_makes_no_events():
    assert len(camera_events(edge(), motion=STILL, settings=IDEAL)) == 0


def test_noise_alone_has_its_rate():
    from dataclasses import replace

    events = camera_events(edge(), motion=STILL, settings=replace(IDEAL, noise_hz=50.0))
    expected = 50.0 * 144 * 0.1
    assert abs(len(events) - expected) < 5 * math.sqrt(expected)
    assert 0.4 < events.channel.mean() < 0.6
    settings = replace(IDEAL, noise_hz=50.0, noise_on_share=1.0)
    assert camera_events(edge(), motion=STILL, settings=settings).channel.all()


def test_swap_and_negative_exchange_polarity():
    from dataclasses import replace

    plain = camera_events(edge(), motion=RIGHT, settings=IDEAL)
    swapped = camera_events(edge(), motion=RIGHT, settings=replace(IDEAL, swap_polarity=True))
    np.testing.assert_array_equal(plain.channel, 1 - swapped.channel)
    negative = camera_events(edge(), motion=RIGHT, settings=replace(IDEAL, negative=True))
    inside = (negative.x >= 6) & (negative.x < 8)
    assert np.all(negative.channel[inside] == 0)


def test_refractory_time_holds_for_every_pixel():
    from dataclasses import replace

    settings = replace(IDEAL, refractory_us=4000.0)
    events = camera_events(edge(), motion=RIGHT, settings=settings)
    assert len(events) > 0
    for pixel in np.unique(events.y * 12 + events.x):
        own = events.t_us[events.y * 12 + events.x == pixel]
        assert np.all(np.diff(own) >= 3999)  # times are whole microseconds


def test_low_pass_makes_events_later():
    from dataclasses import replace

    fast = camera_events(edge(), motion=RIGHT, settings=IDEAL)
    slow = camera_events(edge(), motion=RIGHT, settings=replace(IDEAL, time_constant_us=5000.0))
    assert slow.t_us.mean() > fast.t_us.mean() + 2000


def test_seed_decides_and_default_is_nmnist():
    image = np.random.default_rng(0).random((28, 28))
    one, same, other = (camera_events(image, seed=s) for s in (0, 0, 1))
    assert one.shape == (2, NMNIST_CAMERA.height, NMNIST_CAMERA.width)
    assert one.duration_us == NMNIST_SACCADES.duration_us
    np.testing.assert_array_equal(one.t_us, same.t_us)
    assert len(one) != len(other) or not np.array_equal(one.t_us, other.t_us)


def test_colour_is_seen_as_luminance():
    grey = np.random.default_rng(0).random((28, 28))
    one = camera_events(grey)
    two = camera_events(np.stack([grey] * 3))
    assert abs(len(one) - len(two)) <= 2  # up to rounding of the weights
    assert len(camera_events(grey[None])) == len(one)


def test_motion_is_a_closed_triangle_of_smooth_speed():
    path = NMNIST_SACCADES.path(np.arange(0, 315_001, 1000).astype(float))
    assert np.hypot(*(path[-1] - path[0])) < 1.0
    assert np.abs(np.diff(path, axis=0)).max() < 0.2  # pixels a millisecond


@pytest.mark.parametrize(
    "image", [np.full((4, 4), 2.0), np.full((4, 4), np.nan), np.zeros(4), np.zeros((2, 4, 4))]
)
def test_images_that_cannot_be_shown(image):
    with pytest.raises(DataError):
        camera_events(image)


def test_an_image_far_larger_than_the_sensor():
    with pytest.raises(DataError, match="three times the sensor"):
        camera_events(np.zeros((103, 10)))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("threshold", 0.0),
        ("black_level", 0.0),
        ("height", 0),
        ("noise_hz", -1.0),
        ("step_us", 0),
        ("noise_on_share", 1.1),
    ],
)
def test_settings_out_of_range_are_named(field, value):
    with pytest.raises(SettingsError, match=field):
        CameraSettings(**{field: value})


def test_a_movement_backwards_in_time():
    with pytest.raises(SettingsError, match="start before it ends"):
        Motion(0, 0, (Sweep(50, 40, 1.0),), (), 100)


def test_each_simulated_recording_depends_on_its_place_alone():
    images = np.random.default_rng(0).random((3, 28, 28))
    spread = Spread()
    whole = list(simulated_recordings(images, spread=spread, seed=4))
    first = next(iter(simulated_recordings(images[:1], spread=spread, seed=4)))
    np.testing.assert_array_equal(whole[0].t_us, first.t_us)
    again = list(simulated_recordings(images[[0, 0, 0]], spread=spread, seed=4))
    assert len({len(e) for e in again}) > 1  # recordings differ


def test_no_spread_is_one_camera():
    images = np.zeros((2, 28, 28))
    images[:, 8:20, 8:20] = 1.0
    one, two = simulated_recordings(images, seed=0)
    assert abs(len(one) - len(two)) < 0.1 * len(one)
    with pytest.raises(SettingsError, match="at least 0"):
        Spread(threshold=-1.0)
