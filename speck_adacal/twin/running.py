"""One running chip: DVS stage, clocks, cores and readout layer of a program, chunk by chunk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from speck_adacal.twin import layout as at
from speck_adacal.twin.assumptions import Assumptions
from speck_adacal.twin.clock import SlowClock, Steps
from speck_adacal.twin.dvs import DvsStage, StageEvents
from speck_adacal.twin.inputs import InputEvents
from speck_adacal.twin.layout import Layout
from speck_adacal.twin.load import LoadTrace
from speck_adacal.twin.machine import Machine, Trace
from speck_adacal.twin.program import ChipProgram
from speck_adacal.twin.readout import ReadoutLayer, ReadoutRun
from speck_adacal.twin.result import MonitorStream, Spikes, TwinRun

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Plan:
    """What a `Twin` decided once for all its running chips.

    Attributes:
        program: the configuration.
        layout: its arrays, with `observed` cores monitored.
        assumptions: what is not publicly known.
        observed: cores whose spikes are kept, in order.
        exit_cores: cores that feed no other.
        slow_clock_hz: rate of the external slow clock; None if it is off.
        latency_us: latency by core, or None.
        track_peaks: keep the highest potential of every neuron.
    """

    program: ChipProgram
    layout: Layout
    assumptions: Assumptions
    observed: tuple[int, ...]
    exit_cores: tuple[int, ...]
    slow_clock_hz: float | None
    latency_us: Mapping[int, int] | None
    track_peaks: bool


class RunningChip:
    """States of one running chip; not shared between threads.

    Attributes:
        machine: the cores.
        time_us: time up to which the chip has been run.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        program, assume = plan.program, plan.assumptions
        self.machine = Machine(plan.layout, assume, track_peaks=plan.track_peaks)
        sensor = program.chip.limits.sensor_size
        self._stage = DvsStage(program.dvs, sensor, assume.hot_pixel_filter)
        self._clock = SlowClock(
            plan.slow_clock_hz,
            2**program.internal_clock_divider,
            tick_first=assume.tick_before_event,
        )
        self._filter_ticks = 0
        self._readout = ReadoutLayer(program.readout, assume) if program.readout else None
        self.time_us = 0

    def run(self, events: InputEvents, end_us: int, *, record_load: bool) -> TwinRun:
        """Run the next chunk, up to `end_us`."""
        at_dvs = events.layer == self.plan.program.chip.dvs_layer
        steps = self._clock.steps(events.t_us, at_dvs, end_us)
        self.time_us = end_us
        step_of_event = np.flatnonzero(steps.event >= 0)
        seen, passed = self._through_stage(events, steps, at_dvs, step_of_event)
        source, word, step = self._roots(events, steps, passed, step_of_event)
        trace = self.machine.run(source, word, record_load=record_load)
        return self._result(events, steps, seen, step[trace.roots], trace, step, step_of_event)

    def tick(self) -> TwinRun:
        """One tick of the external clock now, whatever its rate."""
        steps = Steps(np.array([self.time_us]), np.array([-1]))
        nothing = np.zeros(0, dtype=np.int64)
        events = InputEvents(nothing, nothing, nothing, nothing, nothing, nothing, 0)
        empty = StageEvents(nothing, nothing, nothing, nothing)
        self._filter_ticks += not self._filter_is_internal()
        source, word, step = self._roots(events, steps, empty, nothing)
        trace = self.machine.run(source, word, record_load=False)
        return self._result(events, steps, empty, step[trace.roots], trace, step, nothing)

    def _filter_is_internal(self) -> bool:
        settings = self.plan.program.dvs.filter
        return settings is not None and settings.internal_clock

    def _through_stage(
        self,
        events: InputEvents,
        steps: Steps,
        at_dvs: npt.NDArray[np.bool_],
        step_of_event: Ints,
    ) -> tuple[StageEvents, StageEvents]:
        """What the DVS stage's monitor sees, and what it sends on; indices are of `events`."""
        ticks = np.cumsum(steps.ticks(internal=self._filter_is_internal())) + self._filter_ticks
        if len(ticks):
            self._filter_ticks = int(ticks[-1])
        own = np.flatnonzero(at_dvs)
        channel, y, x = events.channel[own], events.y[own], events.x[own]
        seen = self._stage.selected(channel, y, x, ticks[step_of_event[own]])
        seen = StageEvents(own[seen.index], seen.channel, seen.y, seen.x)
        return seen, self._stage.forwarded(seen)

    def _roots(
        self, events: InputEvents, steps: Steps, passed: StageEvents, step_of_event: Ints
    ) -> tuple[npt.NDArray[np.int8], Ints, Ints]:
        """Root events for the kernel: source row, word, step."""
        program = self.plan.program
        direct = np.flatnonzero(events.layer != program.chip.dvs_layer)
        if not program.dvs.destinations:
            passed = passed.chosen(np.zeros(len(passed.index), dtype=np.bool_))
        parts = [
            (
                at.DIRECT_ROW + events.layer[direct],
                _words(events.channel[direct], events.y[direct], events.x[direct]),
                step_of_event[direct],
            ),
            (
                np.full(len(passed.index), at.DVS_ROW),
                _words(passed.channel, passed.y, passed.x),
                step_of_event[passed.index],
            ),
        ]
        for internal in (False, True):
            mask = self._leaking(internal)
            ticks = np.flatnonzero(steps.ticks(internal=internal)) if mask else np.zeros(0, int)
            parts.append((np.full(len(ticks), at.TICK_ROW), np.full(len(ticks), mask), ticks))
        source, word, step = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        order = np.argsort(step, kind="stable")
        return source[order].astype(np.int8), word[order].astype(np.int64), step[order]

    def _leaking(self, internal: bool) -> int:
        return sum(
            1 << index
            for index, core in self.plan.program.cores.items()
            if core.leak and core.leak_internal_clock is internal
        )

    def _result(
        self,
        events: InputEvents,
        steps: Steps,
        seen: StageEvents,
        step: Ints,
        trace: Trace,
        root_step: Ints,
        step_of_event: Ints,
    ) -> TwinRun:
        layer = trace.words >> 48
        columns = _Columns(
            step=step,
            layer=layer,
            y=(trace.words >> 32) & 0xFFFF,
            x=(trace.words >> 16) & 0xFFFF,
            channel=trace.words & 0xFFFF,
            t_us=steps.t_us[step] + self._latency(layer),
        )
        to_readout = layer == at.READOUT
        cause = np.full(len(steps.event), -1, dtype=np.int64)
        cause[step_of_event] = events.index
        return TwinRun(
            spikes={
                c: self._spikes(columns.chosen(layer == c), cause, c) for c in self.plan.observed
            },
            monitored=self._monitored(
                columns.chosen(~to_readout), events, steps, seen, step_of_event
            ),
            readout=self._read_out(columns.chosen(to_readout), steps),
            exit_cores=self.plan.exit_cores,
            events_per_core=trace.events,
            spikes_per_core=trace.spikes,
            synops_per_core=trace.synops,
            dropped_per_core=trace.dropped,
            dropped_input=events.offered - len(events),
            input_events=events.offered,
            end_us=self.time_us,
            load=LoadTrace(steps.t_us[root_step], trace.load) if len(trace.load) else None,
        )

    def _latency(self, layer: Ints) -> Ints:
        table = np.zeros(at.READOUT + 1, dtype=np.int64)
        for core, latency in (self.plan.latency_us or {}).items():
            table[core] = latency
        return table[layer]

    def _spikes(self, own: _Columns, cause: Ints, core: int) -> Spikes:
        return Spikes(
            t_us=own.t_us,
            x=own.x.astype(np.int16),
            y=own.y.astype(np.int16),
            channel=own.channel.astype(np.int16),
            cause=cause[own.step],
            shape=self.plan.program.cores[core].out_shape,
        )

    def _monitored(
        self,
        cores: _Columns,
        events: InputEvents,
        steps: Steps,
        seen: StageEvents,
        step_of_event: Ints,
    ) -> MonitorStream:
        """Core spikes and DVS events in order; silent while the readout is monitored."""
        program = self.plan.program
        silent = program.readout is not None and program.readout.monitor
        shown = [i for i, core in program.cores.items() if core.monitor and not silent]
        cores = cores.chosen(np.isin(cores.layer, shown))
        if program.dvs.monitor and not silent:
            stage_step = step_of_event[seen.index]
            stage = _Columns(
                step=stage_step,
                layer=np.full(len(stage_step), program.chip.dvs_layer),
                y=seen.y,
                x=seen.x,
                channel=seen.channel,
                t_us=events.t_us[seen.index],
            )
            cores = stage.joined(cores)
        return MonitorStream(
            t_us=cores.t_us,
            layer=cores.layer.astype(np.int16),
            x=cores.x.astype(np.int16),
            y=cores.y.astype(np.int16),
            channel=cores.channel.astype(np.int16),
        )

    def _read_out(self, own: _Columns, steps: Steps) -> ReadoutRun | None:
        if self._readout is None:
            return None
        number = self._readout.classes(own.channel, own.y, own.x)
        internal = self._readout.program.internal_clock
        ticks = np.flatnonzero(steps.ticks(internal=internal))
        return self._readout.run(number, own.step, ticks, steps.t_us[ticks])


@dataclass(frozen=True, eq=False)
class _Columns:
    """Logged spikes, one array each."""

    step: Ints
    layer: Ints
    y: Ints
    x: Ints
    channel: Ints
    t_us: Ints

    def _parts(self) -> tuple[Ints, ...]:
        return self.step, self.layer, self.y, self.x, self.channel, self.t_us

    def chosen(self, keep: npt.NDArray[np.bool_]) -> _Columns:
        return _Columns(*(part[keep] for part in self._parts()))

    def joined(self, later: _Columns) -> _Columns:
        """Merged by step; within a step these come before `later`."""
        parts = zip(self._parts(), later._parts(), strict=True)
        together = [np.concatenate(pair) for pair in parts]
        order = np.argsort(together[0], kind="stable")
        return _Columns(*(part[order] for part in together))


def _words(channel: Ints, y: Ints, x: Ints) -> Ints:
    return (y << 32) | (x << 16) | channel
