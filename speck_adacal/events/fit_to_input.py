"""Recordings of one sensor on the input of a network that was made for another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from speck_adacal.errors import DataError, SettingsError
from speck_adacal.events.types import Events

Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Fitting:
    """What was done to a recording so that a network takes it.

    Attributes:
        recorded, taken: `(channels, height, width)` of the recording and of the network.
        pool: pixels a side that become one.
        left, top: corner of the region that is kept, in the recording's pixels; negative where the
            recording is smaller than the network's input, and stands in its middle.
        events, kept: events before and after.
    """

    recorded: Shape
    taken: Shape
    pool: int
    left: int
    top: int
    events: int
    kept: int

    @property
    def merged(self) -> bool:
        """Whether the polarities became one channel."""
        return self.recorded[0] > self.taken[0]

    @property
    def changed(self) -> bool:
        """Whether anything was done at all."""
        return self.recorded != self.taken or self.kept < self.events

    def line(self) -> str:
        """What was done, in one sentence."""
        (_, high, wide), (_, height, width) = self.recorded, self.taken
        parts = [f"pooled by {self.pool}"] if self.pool > 1 else []
        region = f"{width * self.pool} × {height * self.pool} pixels from ({self.left}, {self.top})"
        smaller = self.left < 0 or self.top < 0
        parts.append("put in the middle of the input" if smaller else f"cropped to {region}")
        parts += ["polarities merged"] if self.merged else []
        dropped = self.events - self.kept
        lost = f"{dropped:,} of {self.events:,} events ({dropped / max(self.events, 1):.0%})"
        return (
            f"The recording has {wide} × {high} pixels, the network takes {width} × {height}: "
            f"{', '.join(parts)}; {lost} lie outside and are dropped."
        )


def fit_events(
    events: Events,
    shape: Shape,
    *,
    crop: tuple[int, int] | None = None,
    pool: int | None = None,
) -> tuple[Events, Fitting]:
    """Events of a sensor on a network's input: pooled by a whole factor, cropped, polarities merged
    where the network takes one channel, as the chip's DVS stage can.

    Args:
        events: the recording.
        shape: `(channels, height, width)` that the network takes.
        crop: left and top of the region to keep, in the recording's pixels; the middle by default.
        pool: pixels a side that become one; by default as many as leave at least the network's
            size in both directions.

    Returns:
        The events, and what was done.

    Raises:
        DataError: the network takes more channels than the recording has.
        SettingsError: `pool` is not positive, or the region does not lie in the recording.
    """
    channels, height, width = shape
    if channels not in (1, events.shape[0]):
        raise DataError(
            f"The recording has {events.shape[0]} channels, the network takes {channels}; "
            "choose a recording of its sensor."
        )
    _, high, wide = events.shape
    if pool is None:
        pool = max(1, min(high // height, wide // width))
    elif pool < 1:
        raise SettingsError(f"--pool must be at least 1, found {pool}.")
    if crop is None:
        left, top = (
            pool * ((size // pool - wanted) // 2)
            for size, wanted in ((wide, width), (high, height))
        )
    else:
        left, top = crop
        _refuse_outside(crop, (wide, high), (width * pool, height * pool), pool)
    x = (events.x.astype(np.int64) - left) // pool
    y = (events.y.astype(np.int64) - top) // pool
    keep = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    channel = events.channel[keep] if channels > 1 else np.zeros(int(keep.sum()), np.int16)
    columns = (events.t_us[keep], x[keep].astype(np.int16), y[keep].astype(np.int16), channel)
    fitted = Events(*columns, shape, events.duration_us, events.start_us)
    done = Fitting(events.shape, shape, pool, left, top, len(events), len(fitted))
    return fitted, done


def _refuse_outside(
    crop: tuple[int, int], recorded: tuple[int, int], region: tuple[int, int], pool: int
) -> None:
    most = (recorded[0] - region[0], recorded[1] - region[1])
    if not all(0 <= corner <= last for corner, last in zip(crop, most, strict=True)):
        room = f"at most {most[0]},{most[1]}" if min(most) >= 0 else "a smaller --pool"
        raise SettingsError(
            f"--crop {crop[0]},{crop[1]} with pooling by {pool} keeps {region[0]} × {region[1]} "
            f"pixels, which do not lie in the recording's {recorded[0]} × {recorded[1]}; give "
            f"{room}."
        )
