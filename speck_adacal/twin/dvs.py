"""The DVS pre-processing stage: noise filter, polarity, pooling, region of interest, mirroring.

Order (datasheet §3.2.3; sinabs' `DVSLayer`): filter, polarity selection and merging, pooling, cut
to the region of interest, mirroring, diagonal swap. The filter memory has one word per pixel of
the sensor (datasheet table 2), so it works at full resolution and does not know polarities.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

from speck_adacal.twin.assumptions import Assumptions
from speck_adacal.twin.program import DvsFilterProgram, DvsProgram

Ints = npt.NDArray[np.int64]
_NEVER = -(1 << 40)


@dataclass(frozen=True, eq=False)
class StageEvents:
    """Events at one point of the stage.

    Attributes:
        index: int64 `[n]`, which of the stage's input events they are.
        channel, y, x: int64 `[n]`.
    """

    index: Ints
    channel: Ints
    y: Ints
    x: Ints

    def chosen(self, keep: npt.NDArray[np.bool_]) -> StageEvents:
        """Those for which `keep` is True."""
        return StageEvents(self.index[keep], self.channel[keep], self.y[keep], self.x[keep])


class DvsStage:
    """The stage of one running chip.

    Args:
        program: its settings.
        sensor_size: width and height of the sensor.
        assumptions: see `Assumptions.hot_pixel_filter` and `Assumptions.dvs_monitor`.
    """

    def __init__(self, program: DvsProgram, sensor_size: int, assumptions: Assumptions) -> None:
        self.program = program
        seen = (sensor_size, sensor_size) if program.filter is not None else (0, 0)
        self._last = np.full(seen, _NEVER, dtype=np.int64)
        self._block_fast = assumptions.hot_pixel_filter == "block_fast_pixels"
        self._monitor_region = assumptions.dvs_monitor == "region"

    def selected(self, channel: Ints, y: Ints, x: Ints, tick: Ints) -> StageEvents:
        """Filter, select and merge polarities: what goes on to pooling.

        Args:
            channel: polarity, 1 is ON. y, x: pixel.
            tick: ticks of the slow clock before each event.
        """
        keep = np.where(channel > 0, self.program.on_channel, self.program.off_channel)
        if self.program.filter is not None:
            keep &= self._filtered(self.program.filter, y, x, tick)
        merged = np.zeros_like(channel) if self.program.merge else channel
        return StageEvents(np.arange(len(y)), merged, y, x).chosen(keep)

    def monitored(self, events: StageEvents) -> StageEvents:
        """What the stage's monitor shows of selected events, before pooling and mirroring."""
        if not self._monitor_region:
            return events
        top, left = self._corner
        moved = StageEvents(events.index, events.channel, events.y - top, events.x - left)
        return moved.chosen(self._inside(events))

    def forwarded_of_monitored(self, shown: StageEvents) -> StageEvents:
        """What went on to the cores, of events as the stage's monitor shows them."""
        top, left = self._corner if self._monitor_region else (0, 0)
        return self.forwarded(
            StageEvents(shown.index, shown.channel, shown.y + top, shown.x + left)
        )

    @property
    def _corner(self) -> tuple[int, int]:
        """First row and column of the region of interest, in pixels of the sensor."""
        stage = self.program
        return stage.origin[0] * stage.pooling[0], stage.origin[1] * stage.pooling[1]

    def _inside(self, events: StageEvents) -> npt.NDArray[np.bool_]:
        """Which selected events lie in the region of interest."""
        stage = self.program
        y, x = events.y // stage.pooling[0], events.x // stage.pooling[1]
        inside = (y >= stage.origin[0]) & (y <= stage.cut[0])
        inside &= (x >= stage.origin[1]) & (x <= stage.cut[1])
        return inside

    def forwarded(self, events: StageEvents) -> StageEvents:
        """Pool, cut, mirror: what goes on to the cores."""
        stage = self.program
        inside = self._inside(events)
        y, x = events.y // stage.pooling[0], events.x // stage.pooling[1]
        y, x = y - stage.origin[0], x - stage.origin[1]
        if stage.mirror[0]:
            y = stage.cut[0] - stage.origin[0] - y
        if stage.mirror[1]:
            x = stage.cut[1] - stage.origin[1] - x
        if stage.mirror_diagonal:
            y, x = x, y
        return StageEvents(events.index, events.channel, y, x).chosen(inside)

    def _filtered(
        self, settings: DvsFilterProgram, y: Ints, x: Ints, tick: Ints
    ) -> npt.NDArray[np.bool_]:
        keep = np.zeros(len(y), dtype=np.bool_)
        if settings.low_pass:
            _low_pass(y, x, tick, self._last, settings.threshold, keep)
            return keep
        size_y, size_x = settings.size
        ignore_own = settings.hot_pixel and not self._block_fast
        block_own = settings.hot_pixel and self._block_fast
        # A window of one pixel has no other pixel in it: with the hot-pixel filter no company is
        # asked for. Real kits deliver events with these settings.
        alone = settings.hot_pixel and settings.size == (1, 1)
        delta = settings.threshold
        _company(y, x, tick, self._last, size_y, size_x, delta, ignore_own, block_own, alone, keep)
        return keep


@njit(cache=True, nogil=True)
def _low_pass(y, x, tick, last, threshold, keep):  # type: ignore[no-untyped-def]
    """An event passes if its pixel was silent for `threshold` ticks (datasheet §3.2.3.5.2)."""
    for i in range(len(y)):
        keep[i] = tick[i] - last[y[i], x[i]] >= threshold
        last[y[i], x[i]] = tick[i]


@njit(cache=True, nogil=True)
def _company(y, x, tick, last, size_y, size_x, delta, ignore_own, block_own, alone, keep):  # type: ignore[no-untyped-def]
    """An event passes if some pixel around fired less than `delta` ticks ago (§3.2.3.5.1)."""
    for i in range(len(y)):
        first_y, first_x = y[i] - (size_y - 1) // 2, x[i] - (size_x - 1) // 2
        found = alone
        for near_y in range(max(first_y, 0), min(first_y + size_y, last.shape[0])):
            for near_x in range(max(first_x, 0), min(first_x + size_x, last.shape[1])):
                own = near_y == y[i] and near_x == x[i]
                if not (own and ignore_own) and tick[i] - last[near_y, near_x] < delta:
                    found = True
        if block_own and tick[i] - last[y[i], x[i]] < delta:
            found = False
        keep[i] = found
        last[y[i], x[i]] = tick[i]
