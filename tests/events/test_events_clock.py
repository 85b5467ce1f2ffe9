"""A recording's own start and clock: where its window begins, and what follows from it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speck_adacal.errors import EventError
from speck_adacal.events import Events
from speck_adacal.events.sample_files import load_samples


def recording(t0=0, n=2000, lasts=100_000, **more):
    rng = np.random.default_rng(0)
    t = np.sort(rng.integers(0, lasts, n))
    t[0] = 0
    xy = rng.integers(0, 12, (2, n))
    return Events(t + t0, xy[0], xy[1], rng.integers(0, 2, n), (2, 12, 12), **more)


@given(t0=st.integers(12_501, 1 << 61))
def test_a_foreign_clock_changes_no_frame(t0):
    late = recording(t0)
    np.testing.assert_array_equal(late.to_frames(8), recording().to_frames(8))
    assert late.t_us[0] == t0 == late.start_us
    own = late.from_own_start()
    np.testing.assert_array_equal(own.t_us, recording().t_us)
    assert (own.start_us, own.duration_us) == (0, recording().duration_us)


def test_a_short_silence_before_the_first_event_belongs_to_the_window():
    late = recording(9_000)
    assert late.start_us == 0
    assert late.from_own_start() is late


def test_a_window_that_is_given_is_kept():
    assert recording(500_000, duration_us=700_000).start_us == 0
    assert recording(500_000, duration_us=700_000, start_us=400_000).start_us == 400_000
    with pytest.raises(EventError, match="start_us is 5 µs but the first event is at 0 µs"):
        recording(start_us=5)


def test_samples_of_a_file_count_from_their_own_start(tmp_path):
    late = recording(1_461_581_614_988_127)
    offsets = np.array([0, 1000, 2000])
    fields = {"t": late.t_us, "x": late.x, "y": late.y, "p": late.channel}
    np.savez(tmp_path / "a.npz", **fields, offsets=offsets)
    one, other = load_samples(tmp_path / "a.npz").inputs
    assert one.t_us[0] == other.t_us[0] == 0
    assert one.t_us[-1] == late.t_us[999] - late.t_us[0]


@pytest.mark.parametrize("t", [2.0**63, 1e30, 2**63 - 1])
def test_times_beyond_counting_are_named(t):
    with pytest.raises(EventError, match="beyond the largest time"):
        Events([0, t], [0, 0], [0, 0], [0, 0], (1, 1, 1))


def test_frames_that_no_memory_holds_are_refused():
    wide = Events([0], [0], [0], [0], (2, 16_000, 16_000))
    with pytest.raises(EventError, match="pool or crop"):
        wide.to_frames(8)
    with pytest.raises(EventError, match="sizes from 1 to 32767"):
        Events([0], [0], [0], [0], (2, 1 << 16, 4))
    long = Events([0, 1 << 61], [0, 0], [0, 0], [0, 0], (1, 1, 1))
    with pytest.raises(EventError, match="too long"):
        long.to_frames(8)
