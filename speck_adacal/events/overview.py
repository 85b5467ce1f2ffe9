"""What one recording is like at a glance: sensor, events, rate, duration, polarity, busy pixels."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from speck_adacal.events.types import Events

_BINS = 40
_PEAK_US = 10_000


@dataclass(frozen=True)
class Overview:
    """A recording in a few numbers.

    Attributes:
        shape: `(channels, height, width)`.
        events: their number.
        start_us: where the recording begins by its own clock, µs.
        duration_us: µs, the first and the last time counted.
        rate_per_s: mean rate, events a second.
        peak_per_s: the highest rate in a window of 10 ms (or of the whole recording, if that is
            shorter).
        on_share: share of events of channel 1 and above (ON); None for one channel.
        used: `(left, top, right, bottom)` of the pixels that had events; None without events.
        busiest: `(x, y, events)` of the pixel with most events; None without events.
        bin_us: length of the bins of `histogram`, µs.
        histogram: events in each of at most 40 bins over the recording.
    """

    shape: tuple[int, int, int]
    events: int
    start_us: int
    duration_us: int
    rate_per_s: float
    peak_per_s: float
    on_share: float | None
    used: tuple[int, int, int, int] | None
    busiest: tuple[int, int, int] | None
    bin_us: int
    histogram: tuple[int, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def overview(recording: Events) -> Overview:
    """A recording at a glance."""
    channels, height, width = recording.shape
    own = recording.from_own_start()
    duration_us = own.duration_us + 1  # the last time counts
    bin_us = -(-duration_us // _BINS)
    histogram = np.bincount(own.t_us // bin_us, minlength=-(-duration_us // bin_us))
    peak_us = min(_PEAK_US, duration_us)
    last = np.searchsorted(own.t_us, own.t_us + peak_us, side="left")
    peak = int((last - np.arange(len(own))).max(initial=0))
    pixels = np.bincount(own.y.astype(np.int64) * width + own.x, minlength=height * width)
    most = int(pixels.argmax())
    empty = len(own) == 0
    return Overview(
        shape=recording.shape,
        events=len(own),
        start_us=int(recording.start_us),
        duration_us=duration_us,
        rate_per_s=1e6 * len(own) / duration_us,
        peak_per_s=1e6 * peak / peak_us,
        on_share=None if channels == 1 or empty else float((own.channel > 0).mean()),
        used=None if empty else _used(own),
        busiest=None if empty else (most % width, most // width, int(pixels[most])),
        bin_us=int(bin_us),
        histogram=tuple(histogram.tolist()),
    )


def _used(events: Events) -> tuple[int, int, int, int]:
    return (int(events.x.min()), int(events.y.min()), int(events.x.max()), int(events.y.max()))
