"""Histograms of activations: one pass over any amount of data, bounded memory, any range."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

Array = npt.NDArray[np.float64]

_BUDGET = 1 << 20  # bins of all channels together: 24 MiB for the three tables


class ActivationHistogram:
    """Counts, sums and squares of positive values in even bins, per channel.

    The range doubles (neighbouring bins merge) whenever a larger value comes. Because sums and
    squares are kept, the squared error against any quantiser is exact except in the bins that a
    quantiser's step cuts.

    Args:
        channels: number of channels kept apart.
        bins: bins per channel; fewer where there are very many channels.
    """

    def __init__(self, channels: int, bins: int = 4096) -> None:
        while bins > 256 and bins * channels > _BUDGET:
            bins //= 2
        self.channels, self.bins = channels, bins
        self.width = 0.0
        self.peak = np.zeros(channels)
        self.counts = np.zeros((channels, bins))
        self.sums = np.zeros((channels, bins))
        self.squares = np.zeros((channels, bins))

    def observe(self, values: npt.NDArray[np.float32]) -> None:
        """Take in `[batch, channels, n]` values; those not above 0 are left out."""
        if values.size == 0:
            return
        peak = values.max(axis=(0, 2)).astype(np.float64)
        top = float(peak.max())
        if top <= 0:
            return
        if self.width == 0.0:
            self.width = 2.0 ** np.ceil(np.log2(top)) / self.bins
        while top >= self.width * self.bins:
            self._double()
        np.maximum(self.peak, peak, out=self.peak)
        _accumulate(values, 1.0 / self.width, self.counts, self.sums, self.squares)

    def merged(self) -> ActivationHistogram:
        """All channels in one."""
        whole = ActivationHistogram(1, self.bins)
        whole.bins, whole.width = self.bins, self.width
        whole.peak = self.peak.max(keepdims=True)
        whole.counts = self.counts.sum(0, keepdims=True)
        whole.sums = self.sums.sum(0, keepdims=True)
        whole.squares = self.squares.sum(0, keepdims=True)
        return whole

    def percentile(self, percent: float) -> Array:
        """Per channel, the value below which `percent` of the positive values lie."""
        totals = self.counts.sum(1, keepdims=True)
        reached = self.counts.cumsum(1) >= totals * (percent / 100.0)
        return np.asarray(np.minimum((reached.argmax(1) + 1) * self.width, self.peak))

    def _double(self) -> None:
        self.width *= 2
        for table in (self.counts, self.sums, self.squares):
            half = table.reshape(self.channels, self.bins // 2, 2).sum(2)
            table[:, : self.bins // 2] = half
            table[:, self.bins // 2 :] = 0


@njit(cache=True, error_model="numpy")
def _accumulate(
    values: npt.NDArray[np.float32], per_width: float, counts: Array, sums: Array, squares: Array
) -> None:
    last = counts.shape[1] - 1
    for b in range(values.shape[0]):
        for c in range(values.shape[1]):
            for i in range(values.shape[2]):
                x = np.float64(values[b, c, i])
                if x > 0:
                    at = min(int(x * per_width), last)
                    counts[c, at] += 1
                    sums[c, at] += x
                    squares[c, at] += x * x


@njit(cache=True, error_model="numpy")
def clip_floor_errors(
    counts: Array,
    sums: Array,
    squares: Array,
    thresholds: Array,
    steps: int,
    phi: int,
    shift: float,
) -> Array:
    """Σ (ClipFloor(z, T, V, φ) - z)² for every candidate V at once (eqs. 6 and 8).

    Args:
        counts: `[channels, bins]`; with `sums` and `squares` the histogram.
        sums: sums of the values in each bin.
        squares: sums of their squares.
        thresholds: candidates `[channels, candidates]`.
        steps: T.
        phi: φ.
        shift: initial potential as a part of the threshold (½ rounds to the nearest level).

    Returns:
        float64 `[channels, candidates]`.
    """
    channels, candidates = thresholds.shape
    errors = np.zeros((channels, candidates))
    top = np.float64(steps * phi)
    for c in range(channels):
        for b in range(counts.shape[1]):
            n = counts[c, b]
            if n == 0:
                continue
            mean = sums[c, b] / n
            for j in range(candidates):
                level = np.floor(steps * mean / thresholds[c, j] + shift)
                out = min(max(level, 0.0), top) * thresholds[c, j] / steps
                errors[c, j] += n * out * out - 2 * out * sums[c, b] + squares[c, b]
    return errors
