"""Latencies of a stream, in a fixed amount of memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_BINS_PER_OCTAVE = 4
_BINS = 40 * _BINS_PER_OCTAVE  # 1 µs to 12 days


@dataclass(frozen=True)
class LatencySummary:
    """Latencies so far, in seconds; quantiles are upper ends of bins, 19 % wide."""

    count: int
    mean_s: float
    median_s: float
    p99_s: float
    largest_s: float


class LatencyMeter:
    """A histogram with bins that grow by the fourth root of 2, from 1 µs."""

    def __init__(self) -> None:
        self._bins = np.zeros(_BINS, dtype=np.int64)
        self._sum = 0.0
        self._largest = 0.0

    def add(self, seconds: float) -> None:
        """Count one latency."""
        place = int(np.ceil(np.log2(max(seconds * 1e6, 1.0)) * _BINS_PER_OCTAVE))
        self._bins[min(place, _BINS - 1)] += 1
        self._sum += seconds
        self._largest = max(self._largest, seconds)

    def summary(self) -> LatencySummary:
        """What was counted."""
        count = int(self._bins.sum())
        mean = self._sum / count if count else 0.0
        return LatencySummary(
            count, mean, self._quantile(0.5, count), self._quantile(0.99, count), self._largest
        )

    def _quantile(self, part: float, count: int) -> float:
        if not count:
            return 0.0
        place = int(np.searchsorted(np.cumsum(self._bins), part * count))
        return min(2 ** (place / _BINS_PER_OCTAVE) * 1e-6, self._largest)
