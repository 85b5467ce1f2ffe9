"""What a set of recordings is like: how many events, when, where, and how far apart."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from speck_adacal.errors import DataError
from speck_adacal.events.types import Events

PROFILE_BIN_US = 5000
MOST_PER_PIXEL = 40


@dataclass(frozen=True, eq=False)
class EventStatistics:
    """Statistics of recordings of one sensor size.

    Attributes:
        counts: int64 `[n]`, events of each recording.
        on_share: float64 `[n]`, share of channel 1.
        last_us: int64 `[n]`, time of the last event.
        profile: float64 `[2, bins]`, mean events of each channel in bins of 5 ms.
        per_pixel: float64 `[41]`, mean number of pixels with 0, 1, … 39, and 40 or more events.
        interval_edges_us: float64 `[25]`, edges of the bins of `intervals`.
        intervals: float64 `[2, 24]`, mean number of intervals between successive events of a
            pixel, of the same polarity and of opposite ones.
        maps: float32 `[n, 3, 2, height, width]`, events in each third of the time.
    """

    counts: npt.NDArray[np.int64]
    on_share: npt.NDArray[np.float64]
    last_us: npt.NDArray[np.int64]
    profile: npt.NDArray[np.float64]
    per_pixel: npt.NDArray[np.float64]
    interval_edges_us: npt.NDArray[np.float64]
    intervals: npt.NDArray[np.float64]
    maps: npt.NDArray[np.float32]


def event_statistics(recordings: Iterable[Events], *, window_us: int) -> EventStatistics:
    """Statistics of recordings with two channels.

    Args:
        recordings: all of the same shape, none empty.
        window_us: length of the profile; later events count in its last bin.

    Raises:
        DataError: there are none, or one is empty or of another shape.
    """
    edges = np.logspace(1, 5.5, 25)
    bins = -(-window_us // PROFILE_BIN_US)
    profile, per_pixel = np.zeros((2, bins)), np.zeros(MOST_PER_PIXEL + 1)
    intervals, maps = np.zeros((2, 24)), []
    rows: list[tuple[int, float, int]] = []
    shape: tuple[int, int, int] | None = None
    for events in recordings:
        shape = shape or events.shape
        if events.shape != shape or shape[0] != 2 or len(events) == 0:
            raise DataError(
                f"Recording {len(rows)} has {len(events)} events of shape {events.shape}; "
                f"statistics need events, of one shape with two channels."
            )
        rows.append((len(events), float(events.channel.mean()), int(events.t_us[-1])))
        step = np.minimum(events.t_us // PROFILE_BIN_US, bins - 1)
        np.add.at(profile, (events.channel, step), 1)
        third = np.minimum(events.t_us * 3 // window_us, 2)
        one = np.zeros((3, *shape), dtype=np.float32)
        np.add.at(one, (third, events.channel, events.y, events.x), 1)
        maps.append(one)
        counts = np.minimum(one.sum(axis=(0, 1)), MOST_PER_PIXEL).astype(np.int64)
        per_pixel += np.bincount(counts.ravel(), minlength=MOST_PER_PIXEL + 1)
        intervals += _intervals(events, edges)
    if not rows:
        raise DataError("Statistics need at least one recording.")
    n = len(rows)
    columns = list(zip(*rows, strict=True))
    return EventStatistics(
        counts=np.array(columns[0], dtype=np.int64),
        on_share=np.array(columns[1]),
        last_us=np.array(columns[2], dtype=np.int64),
        profile=profile / n,
        per_pixel=per_pixel / n,
        interval_edges_us=edges,
        intervals=intervals / n,
        maps=np.stack(maps),
    )


def overlap(one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> float:
    """How much of two histograms is common, 0 to 1: twice their minimum over their sum."""
    total = float(one.sum() + other.sum())
    return 2.0 * float(np.minimum(one, other).sum()) / total if total else 1.0


def map_correlation(one: EventStatistics, other: EventStatistics) -> npt.NDArray[np.float64]:
    """Correlation of the k-th recordings' maps (place, polarity and third of the time), `[n]`."""
    a = one.maps.reshape(len(one.maps), -1).astype(np.float64)
    b = other.maps.reshape(len(other.maps), -1).astype(np.float64)
    a -= a.mean(axis=1, keepdims=True)
    b -= b.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return np.asarray((a * b).sum(axis=1) / np.maximum(norm, 1e-12))


def _intervals(events: Events, edges: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    pixel = events.y.astype(np.int64) * events.shape[2] + events.x
    order = np.lexsort((events.t_us, pixel))
    same_pixel = np.diff(pixel[order]) == 0
    gap = np.maximum(np.diff(events.t_us[order]), edges[0])
    same = np.diff(events.channel[order]) == 0
    return np.stack(
        [np.histogram(gap[same_pixel & which], edges)[0] for which in (same, ~same)]
    ).astype(np.float64)
