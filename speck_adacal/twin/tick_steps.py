"""The slow clock: ticks between the events of a stream.

The external clock runs at a rate in Hz from time 0; the internal one ticks after every
`2**internal_clock_divider` events that reach the DVS stage (datasheet §3.2.6).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from speck_adacal.errors import SettingsError

Ints = npt.NDArray[np.int64]
FASTEST_HZ = 1_000_000.0
MOST_TICKS = 1 << 25


@dataclass(frozen=True, eq=False)
class Steps:
    """Events and ticks of one chunk in the order in which the chip sees them.

    Attributes:
        t_us: int64 `[n]`, time of each step.
        event: int64 `[n]`, index of the event; -1 for a tick of the external clock, -2 for one
            of the internal clock.
    """

    t_us: Ints
    event: Ints

    def ticks(self, *, internal: bool) -> npt.NDArray[np.bool_]:
        """bool `[n]`, which steps are ticks of that clock."""
        return np.asarray(self.event == (-2 if internal else -1))


class TickSchedule:
    """Both clocks of one running chip.

    Args:
        rate_hz: rate of the external clock; None if it is off.
        period_events: DVS events between two ticks of the internal clock.
        tick_first: a tick at the time of an event comes before it.

    Raises:
        SettingsError: the rate is not positive, or above one tick a microsecond.
    """

    def __init__(self, rate_hz: float | None, period_events: int, *, tick_first: bool) -> None:
        if rate_hz is not None and not 0 < rate_hz <= FASTEST_HZ:
            raise SettingsError(
                f"The slow clock's rate is {rate_hz} Hz, allowed is above 0 and at most "
                f"{FASTEST_HZ:.0f} Hz; it typically runs at 10 Hz to 10 kHz."
            )
        self.rate_hz = rate_hz
        self.period_events = period_events
        self.tick_first = tick_first
        self._ticked = 0  # ticks of the external clock so far
        self._dvs_events = 0

    def restart(self) -> None:
        """The external clock starts again at time 0; the internal one keeps its count."""
        self._ticked = 0

    def steps(self, t_us: Ints, at_dvs: npt.NDArray[np.bool_], end_us: int) -> Steps:
        """Put the ticks up to `end_us` between the events of the next chunk.

        Args:
            t_us: int64 `[n]` times of the events.
            at_dvs: bool `[n]`, which events reach the DVS stage.
            end_us: time up to which the chip runs.
        """
        internal = self._internal(at_dvs)
        external_us = self._external(end_us)
        if not len(internal) and not len(external_us):
            return Steps(t_us, np.arange(len(t_us)))
        if self.tick_first:
            before = np.searchsorted(t_us, external_us, side="left")
        else:
            before = np.searchsorted(t_us, external_us, side="right")
        # Event i is at place 2i + 1; a tick of the internal clock follows its event.
        place = np.concatenate([2 * np.arange(len(t_us)) + 1, 2 * internal + 2, 2 * before])
        kind = np.concatenate(
            [np.arange(len(t_us)), np.full(len(internal), -2), np.full(len(before), -1)]
        )
        times = np.concatenate([t_us, t_us[internal], external_us])
        order = np.argsort(place, kind="stable")
        return Steps(times[order], kind[order])

    def _external(self, end_us: int) -> Ints:
        if self.rate_hz is None:
            return np.zeros(0, dtype=np.int64)
        last = int(end_us * self.rate_hz // 1_000_000) + 1
        if last - self._ticked > MOST_TICKS:
            raise SettingsError(
                f"One call would run {last - self._ticked} ticks of the slow clock at "
                f"{self.rate_hz} Hz, allowed are {MOST_TICKS}; run in shorter chunks."
            )
        numbers = np.arange(self._ticked + 1, max(last, self._ticked) + 1)
        times: npt.NDArray[np.int64] = np.floor(numbers * (1_000_000 / self.rate_hz)).astype(
            np.int64
        )
        times = times[times <= end_us] if self.tick_first else times[times < end_us]
        self._ticked += len(times)
        return times

    def _internal(self, at_dvs: npt.NDArray[np.bool_]) -> Ints:
        arrived = np.flatnonzero(at_dvs)
        first = self.period_events - 1 - self._dvs_events % self.period_events
        self._dvs_events += len(arrived)
        return arrived[first :: self.period_events]
