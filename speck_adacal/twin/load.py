"""How busy each core is: events and SynOps in sliding windows of a simulated run.

No public source says how many SynOps a core can do in a second, only that exceeding it stalls the
chip (sinabs docs, speck/faqs/tips_for_training), so the limit is the caller's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from speck_adacal.errors import SettingsError

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class WorstWindow:
    """The busiest window of one core.

    Attributes:
        core: its number.
        start_us: its first event's time.
        count: SynOps (or events) inside.
        per_s: the same as a rate.
    """

    core: int
    start_us: int
    count: int
    per_s: float

    def headroom(self, limit_per_s: float) -> float:
        """How often this load fits under a limit; below 1 the limit is exceeded."""
        if not limit_per_s > 0:
            raise SettingsError(f"A limit must be positive, found {limit_per_s} per second.")
        return float("inf") if self.per_s == 0 else limit_per_s / self.per_s


@dataclass(frozen=True, eq=False)
class LoadTrace:
    """Work by root event (input event or tick) and core.

    Attributes:
        t_us: int64 `[n]`, time of the root event.
        counts: int64 `[n, cores, 2]`, events delivered to the core and SynOps done there.
    """

    t_us: Ints
    counts: Ints

    def worst(self, core: int, window_us: int, *, events: bool = False) -> WorstWindow:
        """The busiest window of `window_us` µs, at any place, not only at multiples.

        Args:
            core: its number.
            window_us: length of the window; it holds times `start <= t < start + window_us`.
            events: count input events instead of SynOps.

        Raises:
            SettingsError: the window is shorter than 1 µs.
        """
        if window_us < 1:
            raise SettingsError(f"A load window needs at least 1 µs, found {window_us} µs.")
        work = self.counts[:, core, 0 if events else 1]
        if not len(work):
            return WorstWindow(core, 0, 0, 0.0)
        total = np.concatenate([[0], np.cumsum(work)])
        stop = np.searchsorted(self.t_us, self.t_us + window_us, side="left")
        first = np.searchsorted(self.t_us, self.t_us, side="left")
        inside = total[stop] - total[first]
        best = int(inside.argmax())
        count = int(inside[best])
        return WorstWindow(core, int(self.t_us[best]), count, count / window_us * 1e6)

    def profile(self, core: int, window_us: int) -> tuple[Ints, npt.NDArray[np.float64]]:
        """Start times and SynOps/s of consecutive windows, for a plot."""
        if window_us < 1:
            raise SettingsError(f"A load window needs at least 1 µs, found {window_us} µs.")
        slot = self.t_us // window_us
        slots = int(slot[-1]) + 1 if len(slot) else 0
        work = np.bincount(slot, weights=self.counts[:, core, 1], minlength=slots)
        return np.arange(slots) * window_us, work / window_us * 1e6
