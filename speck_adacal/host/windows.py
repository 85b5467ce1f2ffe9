"""Streams of events in pieces that never reach over the end of a readout's window."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from speck_adacal.errors import EventError, SettingsError
from speck_adacal.events.types import Events


def windows_of(recording: Events, window_us: int) -> Iterator[Events]:
    """A recording window by window, lazily; the last one ends with the recording.

    Args:
        recording: events from time 0 on.
        window_us: length of a window.

    Raises:
        SettingsError: `window_us` is below 1.
    """
    return split_at_windows([recording], window_us)


def split_at_windows(chunks: Iterable[Events], window_us: int | None) -> Iterator[Events]:
    """Cut chunks where a window ends; a chunk is read only when what came before was taken.

    Args:
        chunks: pieces of a stream in order; each covers the time up to its `duration_us`.
        window_us: length of a window, or None to leave the chunks as they are.

    Yields:
        Pieces with the stream's own times; `duration_us` is the end of what they cover.

    Raises:
        SettingsError: `window_us` is below 1.
        EventError: a chunk begins before the end of the one before it.
    """
    if window_us is not None and window_us < 1:
        raise SettingsError(f"A window must last at least 1 µs, found {window_us}.")
    covered = 0
    for chunk in chunks:
        if len(chunk) and chunk.t_us[0] < covered:
            raise EventError(
                f"A chunk begins at {chunk.t_us[0]} µs, but the one before it ended at "
                f"{covered} µs; give the chunks of a stream in order of time."
            )
        if window_us is None:
            yield chunk
        else:
            yield from cut(chunk, covered, window_us)
        covered = max(covered, chunk.duration_us)


def cut(chunk: Events, start_us: int, window_us: int) -> Iterator[Events]:
    """One chunk, which covers the time from `start_us` on, cut where windows end."""
    first = 0
    end = (start_us // window_us + 1) * window_us
    while end <= chunk.duration_us:
        last = int(np.searchsorted(chunk.t_us, end, side="left"))
        yield part(chunk, first, last, end)
        first, end = last, end + window_us
    if first < len(chunk) or end - window_us < chunk.duration_us:
        yield part(chunk, first, len(chunk), chunk.duration_us)


def part(events: Events, first: int, last: int, duration_us: int) -> Events:
    """Events `first` to `last`, covering the time up to `duration_us`."""
    chosen = slice(first, last)
    return Events(
        events.t_us[chosen],
        events.x[chosen],
        events.y[chosen],
        events.channel[chosen],
        events.shape,
        duration_us,
    )
