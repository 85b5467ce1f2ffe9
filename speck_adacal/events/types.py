"""`Events`: an address-event recording, the one form in which events cross module borders."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from speck_adacal.errors import EventError


@dataclass(frozen=True, eq=False)
class Events:
    """A recording of events, sorted by time.

    Attributes:
        t_us: int64 `[n]`, microseconds, non-negative and non-decreasing.
        x: int16 `[n]`, column, `0 <= x < width`.
        y: int16 `[n]`, row, `0 <= y < height`.
        channel: int16 `[n]`, polarity (0 = OFF, 1 = ON) or feature, `0 <= channel < channels`.
        shape: `(channels, height, width)` of the sensor or map the events come from.
        duration_us: length of the window the events were taken in, at least the last time.

    Raises:
        EventError: naming the first event that breaks one of these rules.
    """

    t_us: npt.NDArray[np.int64]
    x: npt.NDArray[np.int16]
    y: npt.NDArray[np.int16]
    channel: npt.NDArray[np.int16]
    shape: tuple[int, int, int]
    duration_us: int = -1

    def __post_init__(self) -> None:
        shape = tuple(int(n) for n in self.shape)
        if len(shape) != 3 or min(shape) < 1:
            raise EventError(
                f"Events need shape (channels, height, width) of positive sizes, found {shape}; "
                "give the sensor's size."
            )
        object.__setattr__(self, "shape", shape)
        count = len(np.asarray(self.t_us))
        limits = {"x": shape[2], "y": shape[1], "channel": shape[0]}
        for name, limit in limits.items():
            values = _checked_coordinates(name, getattr(self, name), limit, count)
            object.__setattr__(self, name, values)
        times = _checked_times(self.t_us)
        object.__setattr__(self, "t_us", times)
        last = int(times[-1]) if count else 0
        if self.duration_us < 0:
            object.__setattr__(self, "duration_us", last)
        elif self.duration_us < last:
            raise EventError(
                f"duration_us is {self.duration_us} µs but the last event is at {last} µs; "
                "give a duration no shorter than the recording."
            )

    def __len__(self) -> int:
        return len(self.t_us)

    def to_frames(self, time_steps: int) -> npt.NDArray[np.float32]:
        """Count events in `time_steps` equal bins of the window.

        Returns:
            float32 `[time_steps, channels, height, width]` event counts.
        """
        if time_steps < 1:
            raise EventError(f"time_steps must be at least 1, found {time_steps}.")
        window_us = max(self.duration_us, int(self.t_us[-1]) if len(self) else 0) + 1
        step = self.t_us * time_steps // window_us
        frames = np.zeros((time_steps, *self.shape), dtype=np.float32)
        np.add.at(frames, (step, self.channel, self.y, self.x), 1.0)
        return frames


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
            "crop the recording or give the sensor's true shape."
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
            "round the values first."
        )


def _checked_times(values: npt.ArrayLike) -> npt.NDArray[np.int64]:
    times = np.asarray(values)
    if times.ndim != 1:
        raise EventError(f"Event times need one dimension, found shape {times.shape}.")
    _refuse_fractions("t_us", times)
    times = np.ascontiguousarray(times, dtype=np.int64)
    if len(times) and times[0] < 0:
        raise EventError(
            f"Event 0 has a negative time, {times[0]} µs; shift the recording to start at 0 µs."
        )
    backwards = np.flatnonzero(np.diff(times) < 0)
    if len(backwards):
        i = int(backwards[0]) + 1
        raise EventError(
            f"Event {i} is at {times[i]} µs, earlier than event {i - 1} at {times[i - 1]} µs; "
            "sort the recording by time (a stable sort keeps simultaneous events in order)."
        )
    return times
