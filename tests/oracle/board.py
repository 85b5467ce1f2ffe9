"""The oracle around the cores: slow clocks, DVS stage and readout layer, one event at a time.

As plain as `cores`: Python integers and loops, sharing no code with the fast path.
"""

from __future__ import annotations

from oracle.cores import ReferenceChip
from speck_adacal.twin.assumptions import Assumptions
from speck_adacal.twin.program import ChipProgram

SensorEvent = tuple[int, int, int, int, int]  # time in µs, layer, channel, row, column
_LAYOUTS = {0: (2, 2, 4), 1: (4, 2, 2), 2: (4, 4, 1)}


class ReferenceBoard:
    """A chip with its clocks.

    Attributes:
        chip: the cores.
        monitored: `(time, layer, channel, row, column)` in order.
        readout: `(time, value, interrupt)` of each finished cycle.
    """

    def __init__(
        self, program: ChipProgram, assumptions: Assumptions, slow_clock_hz: float | None
    ) -> None:
        self.program = program
        self.assume = assumptions
        self.chip = ReferenceChip(program, assumptions)
        self.period_us = None if slow_clock_hz is None else 1_000_000 / slow_clock_hz
        self.ticks = 0
        self.filter_ticks = 0
        self.sensor_events = 0
        self.last: dict[tuple[int, int], int] = {}
        self.monitored: list[tuple[int, int, int, int, int]] = []
        self.readout: list[tuple[int, int, bool]] = []
        self.counts = [0] * 16
        self.cycles: list[list[int]] = []

    def run(self, events: list[SensorEvent], end_us: int) -> None:
        """Run events, then time up to `end_us`."""
        for time, layer, channel, y, x in events:
            self._tick_until(time, including=self.assume.tick_before_event)
            if layer == self.program.chip.dvs_layer:
                self._sense(time, channel, y, x)
            else:
                self.chip.event(0, layer, channel, y, x)
                self._collect(time)
        self._tick_until(end_us, including=self.assume.tick_before_event)

    def _tick_until(self, time: int, *, including: bool) -> None:
        while self.period_us is not None:
            next_us = int((self.ticks + 1) * self.period_us)
            if next_us > time or (next_us == time and not including):
                return
            self.ticks += 1
            self._tick(next_us, internal=False)

    def _tick(self, time: int, *, internal: bool) -> None:
        settings = self.program.dvs.filter
        if settings is not None and settings.internal_clock == internal:
            self.filter_ticks += 1
        leaking = [
            i
            for i, core in self.program.cores.items()
            if core.leak and core.leak_internal_clock == internal
        ]
        readout = self.program.readout
        if readout is not None and readout.internal_clock == internal:
            self._end_cycle(time)
        if leaking:
            self.chip.tick(0, leaking)
            self._collect(time)

    def _sense(self, time: int, channel: int, y: int, x: int) -> None:
        stage = self.program.dvs
        self.sensor_events += 1
        if self._passes_filter(y, x) and (stage.on_channel if channel else stage.off_channel):
            feature = 0 if stage.merge else channel
            if stage.monitor:
                self._monitor(time, feature, y, x)
            self._forward(time, feature, y // stage.pooling[0], x // stage.pooling[1])
        if self.sensor_events % 2**self.program.internal_clock_divider == 0:
            self._tick(time, internal=True)

    def _monitor(self, time: int, feature: int, y: int, x: int) -> None:
        stage = self.program.dvs
        if self.assume.dvs_monitor == "region":
            row, column = y // stage.pooling[0], x // stage.pooling[1]
            (top, left), (bottom, right) = stage.origin, stage.cut
            if not (top <= row <= bottom and left <= column <= right):
                return
            y, x = y - top * stage.pooling[0], x - left * stage.pooling[1]
        self.monitored.append((time, self.program.chip.dvs_layer, feature, y, x))

    def _forward(self, time: int, feature: int, y: int, x: int) -> None:
        stage = self.program.dvs
        (top, left), (bottom, right) = stage.origin, stage.cut
        if not (top <= y <= bottom and left <= x <= right):
            return
        y = bottom - y if stage.mirror[0] else y - top
        x = right - x if stage.mirror[1] else x - left
        if stage.mirror_diagonal:
            y, x = x, y
        self.chip.dvs_event(0, feature, y, x)
        self._collect(time)

    def _passes_filter(self, y: int, x: int) -> bool:
        settings = self.program.dvs.filter
        if settings is None:
            return True
        age = {place: self.filter_ticks - tick for place, tick in self.last.items()}
        self.last[y, x] = self.filter_ticks
        own_age = age.get((y, x))
        if settings.low_pass:
            return own_age is None or own_age >= settings.threshold
        fast = own_age is not None and own_age < settings.threshold
        if settings.hot_pixel and self.assume.hot_pixel_filter == "block_fast_pixels" and fast:
            return False
        if settings.hot_pixel and settings.size == (1, 1):
            return True
        own_counts = not settings.hot_pixel or self.assume.hot_pixel_filter == "block_fast_pixels"
        near = []
        for dy in range(settings.size[0]):
            for dx in range(settings.size[1]):
                place = (y + dy - (settings.size[0] - 1) // 2, x + dx - (settings.size[1] - 1) // 2)
                if place in age and (own_counts or place != (y, x)):
                    near.append(age[place])
        return any(ticks < settings.threshold for ticks in near)

    def _collect(self, time: int) -> None:
        """Move what the cores logged to the readout layer and the monitor."""
        for _, layer, feature, y, x in self.chip.log:
            if layer != self.program.chip.readout_layer:
                self.monitored.append((time, layer, feature, y, x))
            elif self.program.readout is not None:
                number = self._readout_class(feature, y, x)
                if 1 <= number <= 15:
                    self.counts[number] += 1
        self.chip.log.clear()

    def _readout_class(self, feature: int, y: int, x: int) -> int:
        assert self.program.readout is not None
        layout = self.program.readout.layout
        if layout in _LAYOUTS:
            height, width, features = _LAYOUTS[layout]
            inside = y < height and x < width and feature < features
            return (y * width + x) * features + feature + 1 if inside else 0
        mapping = self.assume.readout_mapping
        if mapping == "plain":
            return feature + 1
        return feature // 4 + 1 if mapping == "quarter" or feature % 4 == 0 else 0

    def _end_cycle(self, time: int) -> None:
        settings = self.program.readout
        assert settings is not None
        self.cycles.append([min(count, 0xFFFF) for count in self.counts])
        self.counts = [0] * 16
        window = self.cycles[-settings.window :]
        sums = [sum(column) for column in zip(*window, strict=True)]
        if self.assume.readout_average == "sum":
            average = [min(s, 0xFFFF) for s in sums]
        else:
            average = [s // settings.window for s in sums]
        winner = max(range(16), key=lambda number: (average[number], -number))
        above = [
            a >= settings.threshold
            if self.assume.readout_compare == ">="
            else a > settings.threshold
            for a in average
        ]
        interrupt = winner > 0 and above[winner]
        compared = sum(2**number for number in range(1, 16) if above[number])
        value = {
            0: 0,
            1: 2**20 + winner * 2**16 + compared,
            2: 2**20 + winner * 2**16 + average[settings.neuron],
            3: (2**20 if interrupt else 0) + winner * 2**16 + average[winner],
        }[settings.mode]
        self.readout.append((time, value, interrupt))
