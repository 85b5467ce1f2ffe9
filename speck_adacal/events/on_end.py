"""Recordings on end: one stream, as a sensor that nobody resets would send it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from speck_adacal.errors import EventError
from speck_adacal.events.types import Events

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Stream:
    """Recordings one behind the other.

    Attributes:
        events: all of them, on the stream's time.
        starts_us: int64 `[recordings]`, when each begins.
    """

    events: Events
    starts_us: Ints

    def __len__(self) -> int:
        return len(self.starts_us)

    def recording_at(self, t_us: npt.ArrayLike) -> Ints:
        """Which recording (or the gap behind it) each time belongs to, int64 `[n]`."""
        return np.searchsorted(self.starts_us, np.asarray(t_us), side="right") - 1


def alone(recording: Events) -> Stream:
    """A stream of one recording, as it is."""
    return Stream(recording, np.zeros(1, dtype=np.int64))


def on_end(recordings: Sequence[Events], *, gap_us: int = 0) -> Stream:
    """Put recordings on end; each lasts `duration_us` + 1 µs, and a gap of silence follows it.

    Raises:
        EventError: there are none, they differ in shape, or the gap is below 0.
    """
    if gap_us < 0:
        raise EventError(f"A gap between recordings must last at least 0 µs, found {gap_us}.")
    shapes = {recording.shape for recording in recordings}
    if len(shapes) != 1:
        raise EventError(
            f"Recordings of one shape can stand on end, found {sorted(shapes) or 'none'}; crop or "
            "pool them to one."
        )
    lasts = np.array([recording.duration_us + 1 + gap_us for recording in recordings])
    ends = lasts.cumsum()
    starts = ends - lasts
    x, y, channel = (
        np.concatenate([getattr(recording, name) for recording in recordings])
        for name in ("x", "y", "channel")
    )
    times = [recording.t_us + start for recording, start in zip(recordings, starts, strict=True)]
    events = Events(np.concatenate(times), x, y, channel, shapes.pop(), int(ends[-1]))
    return Stream(events, starts)
