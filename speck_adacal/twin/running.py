"""One running chip: DVS stage, clocks, cores and readout layer of a program, chunk by chunk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from speck_adacal.twin import layout as at
from speck_adacal.twin.assumptions import Assumptions
from speck_adacal.twin.dvs import DvsStage, StageEvents
from speck_adacal.twin.inputs import InputEvents
from speck_adacal.twin.layout import Layout
from speck_adacal.twin.load import LoadTrace
from speck_adacal.twin.machine import Machine, Trace
from speck_adacal.twin.program import ChipProgram, Shape
from speck_adacal.twin.readout import ReadoutLayer, ReadoutRun
from speck_adacal.twin.result import TwinRun
from speck_adacal.twin.spike_log import SpikeLog, SpikesByCore
from speck_adacal.twin.tick_steps import Steps, TickSchedule

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Plan:
    """What a `Twin` decided once for all its running chips.

    Attributes:
        program: the configuration.
        layout: its arrays, with `observed` cores monitored.
        assumptions: what is not publicly known.
        shapes: shape of each core whose spikes are kept.
        monitored: cores on the chip's monitor bus; none while the readout is monitored.
        stage_monitored: the DVS stage is on the monitor bus.
        exit_cores: cores that feed no other.
        slow_clock_hz: rate of the external slow clock; None if it is off.
        latency_us: int64, latency by layer.
        track_peaks: keep the highest potential of every neuron.
    """

    program: ChipProgram
    layout: Layout
    assumptions: Assumptions
    shapes: Mapping[int, Shape]
    monitored: tuple[int, ...]
    stage_monitored: bool
    exit_cores: tuple[int, ...]
    slow_clock_hz: float | None
    latency_us: Ints
    track_peaks: bool


@dataclass(frozen=True, eq=False)
class PreparedInput:
    """A chunk of input, checked, past the DVS stage, and in the order of the kernel.

    Attributes:
        events: the checked events.
        steps: events and ticks of the slow clock.
        seen: what the DVS stage's monitor sees.
        step_of_event: int64, the step of each event.
        source: int8, row of `Layout.routes` of each root event.
        word: int64, packed root events.
        step: int64, the step of each root event.
        end_us: time up to which the chunk goes.
    """

    events: InputEvents
    steps: Steps
    seen: StageEvents
    step_of_event: Ints
    source: npt.NDArray[np.int8]
    word: Ints
    step: Ints
    end_us: int


class RunningChip:
    """States of one running chip; not shared between threads.

    Attributes:
        machine: the cores.
        time_us: time up to which the chip has been run.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.machine = Machine(
            plan.layout,
            plan.assumptions,
            track_peaks=plan.track_peaks,
            monitor_order=len(plan.monitored) > 1,
        )
        self._begin()

    def reset(self) -> None:
        """Back to the state right after configuration, at time 0."""
        self.machine.reset()
        self._begin()

    def _begin(self) -> None:
        plan = self.plan
        program, assume = plan.program, plan.assumptions
        sensor = program.chip.limits.sensor_size
        self._stage = DvsStage(program.dvs, sensor, assume)
        self._clock = TickSchedule(
            plan.slow_clock_hz,
            2**program.internal_clock_divider,
            tick_first=assume.tick_before_event,
        )
        self._filter_ticks = 0
        self._readout = (
            ReadoutLayer(program.readout, assume, program.chip) if program.readout else None
        )
        self.time_us = 0

    def run(self, events: InputEvents, end_us: int, *, record_load: bool) -> TwinRun:
        """Run the next chunk, up to `end_us`."""
        return self.run_prepared(self.prepare(events, end_us), record_load=record_load)

    def prepare(self, events: InputEvents, end_us: int) -> PreparedInput:
        """Lead the next chunk past the clocks and the DVS stage, up to the cores."""
        at_dvs = events.layer == self.plan.program.chip.dvs_layer
        steps = self._clock.steps(events.t_us, at_dvs, end_us)
        step_of_event = np.flatnonzero(steps.event >= 0)
        seen, passed = self._through_stage(events, steps, at_dvs, step_of_event)
        source, word, step = self._roots(events, steps, passed, step_of_event)
        return PreparedInput(events, steps, seen, step_of_event, source, word, step, end_us)

    def run_prepared(self, given: PreparedInput, *, record_load: bool) -> TwinRun:
        """Run the cores on a prepared chunk, by a chip in the state it was prepared for."""
        self.time_us = given.end_us
        trace = self.machine.run(given.source, given.word, record_load=record_load)
        return self._result(
            given.events,
            given.steps,
            given.seen,
            given.step[trace.roots],
            trace,
            given.step,
            given.step_of_event,
        )

    def restart_time(self) -> None:
        """Let time, and the external clock's phase, start at 0 again."""
        self.time_us = 0
        self._clock.restart()

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
        selected = StageEvents(own[seen.index], seen.channel, seen.y, seen.x)
        return self._stage.monitored(selected), self._stage.forwarded(selected)

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
        if max(len(part[0]) for part in parts) < len(step):  # of one kind they are in order
            order = np.argsort(step, kind="stable")
            source, word, step = source[order], word[order], step[order]
        return source.astype(np.int8), word.astype(np.int64), step

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
        log = self._log(events, steps, seen, step, trace, step_of_event)
        cores = len(self.plan.program.chip.cores)
        load = trace.load[:, :cores]
        return TwinRun(
            spikes=SpikesByCore(log, self.plan.shapes),
            readout=self._read_out(log, steps),
            exit_cores=self.plan.exit_cores,
            events_per_core=trace.events[:cores],
            spikes_per_core=trace.spikes[:cores],
            synops_per_core=trace.synops[:cores],
            dropped_per_core=trace.dropped[:cores],
            dropped_input=events.offered - len(events),
            input_events=events.offered,
            end_us=self.time_us,
            log=log,
            monitored_cores=self.plan.monitored,
            load=LoadTrace(steps.t_us[root_step], load) if len(load) else None,
        )

    def _log(
        self,
        events: InputEvents,
        steps: Steps,
        seen: StageEvents,
        step: Ints,
        trace: Trace,
        step_of_event: Ints,
    ) -> SpikeLog:
        cause = np.full(len(steps.event), -1, dtype=np.int64)
        cause[step_of_event] = events.index
        return SpikeLog(
            words=trace.words,
            step=step,
            step_t_us=steps.t_us,
            step_cause=cause,
            latency_us=self.plan.latency_us,
            stage=seen if self.plan.stage_monitored else None,
            stage_step=step_of_event[seen.index],
            stage_layer=self.plan.program.chip.dvs_layer,
        )

    def _read_out(self, log: SpikeLog, steps: Steps) -> ReadoutRun | None:
        if self._readout is None:
            return None
        words, step = log.of_layer(at.READOUT)
        parts = ((words >> shift) & 0xFFFF for shift in (0, 32, 16))
        internal = self._readout.program.internal_clock
        ticks = np.flatnonzero(steps.ticks(internal=internal))
        number = self._readout.classes(*parts)
        return self._readout.run(number, step, ticks, steps.t_us[ticks])


def _words(channel: Ints, y: Ints, x: Ints) -> Ints:
    return (y << 32) | (x << 16) | channel
