"""`Events`: an address-event recording, the one form in which events cross module borders."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from speck_adacal.errors import EventError

_LARGEST_SIDE = (1 << 15) - 1  # coordinates have 16 bits
_LARGEST_FRAMES_BYTES = 1 << 31
_LONGEST_LEAD = 8
_LATEST_US = 1 << 62  # far enough below 2^63 that differences cannot overflow


@dataclass(frozen=True, eq=False)
class Events:
    """A recording of events, sorted by time.

    Attributes:
        t_us: int64 `[n]`, microseconds, non-negative and non-decreasing.
        x: int16 `[n]`, column, `0 <= x < width`.
        y: int16 `[n]`, row, `0 <= y < height`.
        channel: int16 `[n]`, polarity (0 = OFF, 1 = ON) or feature, `0 <= channel < channels`.
        shape: `(channels, height, width)` of the sensor or map the events come from.
        duration_us: end of the window the events were taken in, at least the last time.
        start_us: its beginning, at most the first time. A window whose end is given begins at 0.
            Where neither is given, it begins at 0 too, unless the silence before the first event
            is longer than an eighth of what follows (one step of the usual eight): then the
            recording's clock counts from elsewhere (the camera's start, 1970), and its window
            begins at the first event.

    Raises:
        EventError: naming the first event that breaks one of these rules.
    """

    t_us: npt.NDArray[np.int64]
    x: npt.NDArray[np.int16]
    y: npt.NDArray[np.int16]
    channel: npt.NDArray[np.int16]
    shape: tuple[int, int, int]
    duration_us: int = -1
    start_us: int = -1

    def __post_init__(self) -> None:
        shape = tuple(int(n) for n in self.shape)
        if len(shape) != 3 or min(shape) < 1 or max(shape) > _LARGEST_SIDE:
            raise EventError(
                "Events need shape (channels, height, width) of sizes from 1 to "
                f"{_LARGEST_SIDE}, found {shape}; give the sensor's size."
            )
        object.__setattr__(self, "shape", shape)
        count = len(np.asarray(self.t_us))
        limits = {"x": shape[2], "y": shape[1], "channel": shape[0]}
        for name, limit in limits.items():
            values = _checked_coordinates(name, getattr(self, name), limit, count)
            object.__setattr__(self, name, values)
        times = _checked_times(self.t_us)
        object.__setattr__(self, "t_us", times)
        self._set_window(times)

    def __len__(self) -> int:
        return len(self.t_us)

    def from_own_start(self) -> Events:
        """The same recording by a clock that begins with its window: `start_us` becomes 0."""
        if self.start_us == 0:
            return self
        return replace(
            self,
            t_us=self.t_us - self.start_us,
            duration_us=self.duration_us - self.start_us,
            start_us=0,
        )

    def to_frames(self, time_steps: int) -> npt.NDArray[np.float32]:
        """Count events in `time_steps` equal bins of the window, `start_us` to `duration_us`.

        Returns:
            float32 `[time_steps, channels, height, width]` event counts.

        Raises:
            EventError: fewer than one step, or frames of more than 2 GiB.
        """
        if time_steps < 1:
            raise EventError(f"time_steps must be at least 1, found {time_steps}.")
        needed = 4 * time_steps * math.prod(self.shape)
        if needed > _LARGEST_FRAMES_BYTES:
            raise EventError(
                f"{time_steps} frames of shape {self.shape} would take {needed >> 20:,} MiB, "
                f"allowed are {_LARGEST_FRAMES_BYTES >> 20:,}; pool or crop the recording to the "
                "network's input first."
            )
        window_us = self.duration_us - self.start_us + 1
        if window_us > _LATEST_US // time_steps:
            raise EventError(
                f"The recording lasts {window_us} µs, too long to be counted in {time_steps} "
                "steps; cut it into samples, or check the unit of its times."
            )
        step = (self.t_us - self.start_us) * time_steps // window_us
        frames = np.zeros((time_steps, *self.shape), dtype=np.float32)
        np.add.at(frames, (step, self.channel, self.y, self.x), 1.0)
        return frames

    def _set_window(self, times: npt.NDArray[np.int64]) -> None:
        first, last = (int(times[0]), int(times[-1])) if len(times) else (0, 0)
        start, end = int(self.start_us), int(self.duration_us)
        if start < 0:
            own_clock = end < 0 and first * _LONGEST_LEAD > last - first
            start = first if own_clock else 0
        if end < 0:
            end = last
        if end < last:
            raise EventError(
                f"duration_us is {end} µs but the last event is at {last} µs; "
                "give a duration no shorter than the recording."
            )
        if len(times) and start > first:
            raise EventError(
                f"start_us is {start} µs but the first event is at {first} µs; give a start no "
                "later than the first event."
            )
        object.__setattr__(self, "start_us", start)
        object.__setattr__(self, "duration_us", end)


def _way_out(name: str, value: Any) -> str:
    if name == "channel" and value == -1:
        return "polarities of -1 and 1 become channels by (p > 0)"
    return "give the sensor's true shape, or crop the recording to it"


def _checked_coordinates(
    name: str, values: npt.ArrayLike, limit: int, count: int
) -> npt.NDArray[np.int16]:
    array = np.asarray(values)
    if array.ndim != 1 or len(array) != count:
        raise EventError(
            f"Event field {name!r} has shape {array.shape} but there are {count} time stamps; "
            "all four fields need the same length."
        )
    _refuse_fractions(name, array)
    bad = np.flatnonzero((array < 0) | (array >= limit))
    if len(bad):
        raise EventError(
            f"Event {bad[0]} has {name} = {array[bad[0]]}, allowed is 0 to {limit - 1}; "
            f"{_way_out(name, array[bad[0]])}."
        )
    return np.ascontiguousarray(array, dtype=np.int16)


def _refuse_fractions(name: str, values: npt.NDArray[np.generic]) -> None:
    """Whole numbers may come as floats; others would be cut without a word."""
    if values.dtype.kind in "iub":
        return
    if values.dtype.kind != "f" and len(values):
        raise EventError(f"Event field {name!r} must hold whole numbers, found {values.dtype}.")
    broken = np.flatnonzero(~np.isfinite(values) | (values != np.floor(values)))
    if len(broken):
        raise EventError(
            f"Event {broken[0]} has {name} = {values[broken[0]]}, which is not a whole number; "
            f"{_fraction_advice(name, values)}."
        )


def _fraction_advice(name: str, values: npt.NDArray[np.generic]) -> str:
    if not np.all(np.isfinite(values)):
        return "leave out events without a time and place"
    if name == "t_us":
        return "times are in µs, so multiply seconds by 1,000,000 and round"
    return "round coordinates that were undistorted to pixels"


def _checked_times(values: npt.ArrayLike) -> npt.NDArray[np.int64]:
    given = np.asarray(values)
    if given.ndim != 1:
        raise EventError(f"Event times need one dimension, found shape {given.shape}.")
    _refuse_fractions("t_us", given)
    beyond = np.flatnonzero(given > _LATEST_US) if len(given) else given
    if len(beyond):
        raise EventError(
            f"Event {beyond[0]} is at {given[beyond[0]]} µs, beyond the largest time that is "
            f"counted, {_LATEST_US} µs; check that the times are in µs and not damaged."
        )
    times = np.ascontiguousarray(given, dtype=np.int64)
    if len(times) and times[0] < 0:
        raise EventError(
            f"Event 0 has a negative time, {times[0]} µs; shift the recording to start at 0 µs."
        )
    backwards = np.flatnonzero(np.diff(times) < 0)
    if len(backwards):
        i = int(backwards[0]) + 1
        raise EventError(
            f"Event {i} is at {times[i]} µs, earlier than event {i - 1} at {times[i - 1]} µs; "
            f"{_backwards_advice(times)}."
        )
    return times


def _backwards_advice(times: npt.NDArray[np.int64]) -> str:
    """What helps depends on what happened: a counter that started again, or shuffled events."""
    falls = np.diff(times)
    falls = falls[falls < 0]
    if len(falls) <= len(times) // 1000 + 1 and falls.min() < -(1 << 23):
        return (
            "its counter started again there (a wrap, or two recordings on end), so add the "
            "counter's range to what follows, or cut it into two"
        )
    return "sort the recording by time (a stable sort keeps simultaneous events in order)"
