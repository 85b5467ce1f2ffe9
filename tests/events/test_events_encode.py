"""Rate coding: counts, balance over time, spread over the image, determinism, bad input."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from speck_adacal.errors import DataError, SettingsError
from speck_adacal.events.encode import rate_code, rate_code_frames

images = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9)),
    elements=st.floats(0, 1, width=32),
)


@settings(deadline=None)
@given(images, st.integers(1, 9), st.integers(1, 4), st.integers(1, 50), st.integers(0, 5))
def test_events_and_frames_are_the_same_counts(image, steps, most, dt_us, seed):
    events = rate_code(image, time_steps=steps, dt_us=dt_us, max_events_per_step=most, seed=seed)
    frames = rate_code_frames(image[None], steps, max_events_per_step=most, seed=seed)
    assert frames.dtype == np.float32
    np.testing.assert_array_equal(events.to_frames(steps), frames[0])
    assert events.duration_us == steps * dt_us - 1
    assert events.shape == image.shape


def slow_counts(x, phase, steps, most):
    """Error diffusion as one would write it first: accumulate, emit what is whole."""
    left, counts = phase, []
    for _ in range(steps):
        left += x * most
        counts.append(left // 65536)
        left %= 65536
    return counts


@settings(deadline=None)
@given(images, st.integers(1, 12), st.integers(1, 3))
def test_counts_are_error_diffusion_from_each_pixels_phase(image, steps, most):
    from speck_adacal.events import encode

    frames = rate_code_frames(image[None], steps, max_events_per_step=most)[0]
    phase = encode._phase(*image.shape, 0)
    for index in np.ndindex(*image.shape):
        x = int(np.rint(np.float64(image[index]) * 65536))
        expected = slow_counts(x, int(phase[index]), steps, most)
        assert frames[(slice(None), *index)].tolist() == expected


@settings(deadline=None)
@given(images, st.integers(1, 16), st.integers(1, 3))
def test_totals_are_the_intensity_rounded_up_or_down(image, steps, most):
    total = rate_code_frames(image[None], steps, max_events_per_step=most)[0].sum(axis=0)
    exact = np.rint(image.astype(np.float64) * 65536) * steps * most / 65536
    assert np.all(total >= np.floor(exact))
    assert np.all(total <= np.ceil(exact))


def test_black_never_fires_and_white_fires_at_every_step():
    assert rate_code_frames(np.zeros((1, 2, 8, 8)), 7).sum() == 0
    assert np.all(rate_code_frames(np.ones((1, 2, 8, 8)), 7, max_events_per_step=3) == 3)


def test_grey_is_balanced_between_steps_and_between_neighbours():
    frames = rate_code_frames(np.full((1, 1, 32, 32), 0.3), 10)[0, :, 0]
    np.testing.assert_allclose(frames.mean(axis=(1, 2)), 0.3, atol=0.02)
    blocks = frames.reshape(10, 4, 8, 4, 8).mean(axis=(2, 4))  # 8 × 8 pixels each
    np.testing.assert_allclose(blocks, 0.3, atol=0.08)


def test_events_of_a_step_spread_over_image_and_time():
    events = rate_code(np.full((32, 32), 1.0), time_steps=4, dt_us=1000)
    for step in range(4):
        chosen = events.t_us // 1000 == step
        x, y, t = events.x[chosen], events.y[chosen], events.t_us[chosen]
        assert np.array_equal(t, step * 1000 + np.arange(1024) * 1000 // 1024)
        for first in (16, 64, 256):  # each beginning covers 4 × 4 blocks evenly
            blocks = np.bincount(y[:first] // 8 * 4 + x[:first] // 8, minlength=16)
            assert set(blocks) == {first // 16}


def test_several_events_of_a_pixel_are_apart():
    events = rate_code(np.full((8, 8), 1.0), time_steps=1, dt_us=6400, max_events_per_step=4)
    own = events.t_us[(events.x == 3) & (events.y == 5)]
    assert len(own) == 4
    np.testing.assert_allclose(np.diff(own), 1600, atol=200)


def test_channels_do_not_fire_in_lockstep():
    frames = rate_code_frames(np.full((1, 2, 8, 8), 0.5), 4)[0]
    assert not np.array_equal(frames[:, 0], frames[:, 1])


def test_seed_changes_the_events_and_nothing_else_does():
    image = np.random.default_rng(0).random((1, 12, 12))
    one, same, other = (rate_code(image, time_steps=5, seed=s) for s in (1, 1, 2))
    assert np.array_equal(one.t_us, same.t_us)
    assert np.array_equal(one.x, same.x)
    assert not np.array_equal(one.to_frames(5), other.to_frames(5))


def test_an_image_alone_is_coded_as_in_a_batch():
    batch = np.random.default_rng(0).random((300, 1, 6, 5))
    frames = rate_code_frames(batch, 3)
    np.testing.assert_array_equal(frames[290], rate_code_frames(batch[290:291], 3)[0])


def test_empty_batch_gives_no_frames():
    assert rate_code_frames(np.zeros((0, 1, 4, 4)), 3).shape == (0, 3, 1, 4, 4)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.full((4, 4), 255.0), "divide 8-bit images by 255"),
        (np.full((4, 4), -0.1), "between 0 and 1"),
        (np.full((4, 4), np.nan), "found NaN"),
        (np.full((4, 4), np.inf), "between 0 and 1"),
        (np.zeros(4), "channels, height, width"),
        (np.zeros((1, 0, 4)), "channels, height, width"),
    ],
)
def test_images_that_cannot_be_coded_are_refused(image, message):
    with pytest.raises(DataError, match=message):
        rate_code(image, time_steps=2)


@pytest.mark.parametrize(
    "wrong", [{"time_steps": 0}, {"dt_us": 0}, {"max_events_per_step": 0}, {"seed": -1}]
)
def test_settings_below_their_least_value_are_refused(wrong):
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        rate_code(np.zeros((2, 2)), **{"time_steps": 2, **wrong})
