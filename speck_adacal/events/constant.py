"""A constant input channel: regular events that carry a network's biases to the chip."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from speck_adacal.events.encode import spread_rank
from speck_adacal.events.types import Events
from speck_adacal.validation import Count, CountOrZero, OneOrMore, Positive, checked

Ints = npt.NDArray[np.int64]


@checked
class ConstantChannel:
    """Events that the host sends beside every input, the same whatever the input is.

    Attributes:
        rows: of the places that send, each once and in order.
        columns: likewise; every row with every column is a place.
        rate: events of each place in a time step.
        step_us: length of a time step in a stream, whose end is not known; a whole recording
            brings its own.

    Raises:
        SettingsError: there are no places, or the rate is below 1.
    """

    rows: OneOrMore[CountOrZero]
    columns: OneOrMore[CountOrZero]
    rate: Count
    step_us: Positive = 1000.0

    @property
    def events_per_step(self) -> int:
        """Events of all places in a time step."""
        return len(self.rows) * len(self.columns) * self.rate

    def counts(self, height: int, width: int) -> npt.NDArray[np.float32]:
        """Events in a time step, float32 `[height, width]`."""
        found = np.zeros((height, width), dtype=np.float32)
        found[np.ix_(self.rows, self.columns)] = self.rate
        return found

    def shape_with(self, shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """An input's shape with this channel behind its own."""
        return (shape[0] + 1, shape[1], shape[2])

    def added_to(self, events: Events, time_steps: int) -> Events:
        """A whole recording with the channel behind its own: its duration is `time_steps` steps.

        `to_frames(time_steps)` of the result has `counts` at every step in the last channel.
        """
        return self.added_since(events, -1, (events.duration_us + 1) / time_steps)

    def added_since(self, events: Events, since_us: int, step_us: float) -> Events:
        """A piece of a stream with the channel behind its own.

        Args:
            events: sorted by time.
            since_us: the end of the last piece: the channel's later events are added, up to the
                end of this piece; -1 at the beginning of a stream.
            step_us: length of a time step; steps are counted from 0 µs.
        """
        first = max(0, int(since_us // step_us))
        last = int(events.duration_us // step_us) + 1
        t_us, rows, columns = self._times(first, last, step_us)
        keep = (t_us > since_us) & (t_us <= events.duration_us)
        t_us, rows, columns = t_us[keep], rows[keep], columns[keep]
        channels = events.shape[0]
        order = np.argsort(np.concatenate([events.t_us, t_us]), kind="stable")
        own = np.full(len(t_us), channels)

        def merged(recorded: npt.NDArray[np.int16], constant: Ints) -> npt.NDArray[np.int16]:
            return np.concatenate([recorded, constant.astype(np.int16)])[order]

        return Events(
            t_us=np.concatenate([events.t_us, t_us])[order],
            x=merged(events.x, columns),
            y=merged(events.y, rows),
            channel=merged(events.channel, own),
            shape=self.shape_with(events.shape),
            duration_us=events.duration_us,
        )

    def _times(self, first: int, last: int, step_us: float) -> tuple[Ints, Ints, Ints]:
        """Time, row and column of every event of some steps, in order.

        Each step is cut into as many rounds as a place has events; in a round every place sends
        once, one after the other, spread over the map.
        """
        rows, columns = _spread(self.rows, self.columns)
        rounds = np.arange(first * self.rate, last * self.rate)
        phase = (np.arange(len(rows)) + 0.5) / len(rows)
        t = np.floor((rounds[:, None] + phase) * (step_us / self.rate)).astype(np.int64)
        # Rounding down must not move an event into the step before its own.
        begin = np.ceil(rounds // self.rate * step_us).astype(np.int64)
        t = np.maximum(t, begin[:, None]).ravel()
        return t, np.tile(rows, len(rounds)), np.tile(columns, len(rounds))


@lru_cache(maxsize=64)
def _spread(rows: tuple[int, ...], columns: tuple[int, ...]) -> tuple[Ints, Ints]:
    """Rows and columns of all places, in an order whose every beginning covers the map evenly."""
    rank = spread_rank((1, len(rows), len(columns)), 0, 0)[0]
    y, x = np.unravel_index(np.argsort(rank, axis=None, kind="stable"), rank.shape)
    return np.asarray(rows, dtype=np.int64)[y], np.asarray(columns, dtype=np.int64)[x]
