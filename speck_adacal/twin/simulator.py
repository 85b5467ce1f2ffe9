"""`Twin`: a Speck in software."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from speck_adacal.errors import ConfigurationError, EventError, SettingsError
from speck_adacal.events.types import Events
from speck_adacal.twin import kernel
from speck_adacal.twin import layout as at
from speck_adacal.twin.assumptions import Assumptions
from speck_adacal.twin.checks import check_program
from speck_adacal.twin.layout import lay_out
from speck_adacal.twin.machine import Machine, Trace
from speck_adacal.twin.program import ChipProgram, CoreProgram
from speck_adacal.twin.reading import program_from_configuration
from speck_adacal.twin.result import MonitorStream, Spikes, TwinRun


class Twin:
    """Runs a chip configuration event by event, in the chip's integers.

    Args:
        program: the configuration, see `program_from_configuration`.
        assumptions: what is not publicly known of the chip.
        observe: cores whose spikes are wanted although the configuration does not monitor them.
        track_peaks: keep the highest potential of every neuron (slower by about a third).

    Raises:
        ConfigurationError: the program could not run on the chip.
        SettingsError: `observe` names a core that is not configured.
    """

    def __init__(
        self,
        program: ChipProgram,
        *,
        assumptions: Assumptions | None = None,
        observe: Iterable[int] = (),
        track_peaks: bool = False,
    ) -> None:
        check_program(program)
        self.program = program
        self.assumptions = assumptions or Assumptions()
        self._observed = _observed(program, observe)
        self._layout = lay_out(_monitoring(program, self._observed), self.assumptions)
        self._track_peaks = track_peaks
        self._machine = self._new_machine()
        self._time_us = 0

    @classmethod
    def from_configuration(
        cls,
        config: Any,
        *,
        chip: str = "speck2f",
        assumptions: Assumptions | None = None,
        **options: Any,
    ) -> Twin:
        """A twin of what `config`, a samna-like `SpeckConfiguration`, would make of the chip.

        Args:
            config: object with samna's attribute names.
            chip: name of the chip.
            assumptions: what is not publicly known of the chip.
            options: passed on to `Twin`.
        """
        program = program_from_configuration(config, chip=chip)
        return cls(program, assumptions=assumptions, **options)

    @property
    def entry(self) -> int:
        """Where events enter by default: 13 (the DVS stage) or the one core that nothing feeds.

        Raises:
            ConfigurationError: there is more than one such core; pass `entry`.
        """
        if self.program.dvs.destinations:
            return self.program.chip.dvs_layer
        found = [i for i in sorted(self.program.cores) if not self.program.sources_of(i)]
        if len(found) != 1:
            raise ConfigurationError(
                f"The configuration has {len(found)} cores that no other source feeds, {found}; "
                "name the one the events enter with entry=."
            )
        return found[0]

    def reset(self) -> None:
        """Back to the state right after configuration, at time 0."""
        self._machine.reset()
        self._time_us = 0

    def run(self, events: Events, *, entry: int | None = None, reset: bool = True) -> TwinRun:
        """Run a recording.

        Args:
            events: input, sorted by time.
            entry: core (0 to 8) or 13 for the DVS stage; by default `self.entry`.
            reset: start from the state after configuration.

        Raises:
            EventError: naming the first event outside the entry's input or before the last chunk.
        """
        if reset:
            self.reset()
        return self._run_on(self._machine, events, self._checked_entry(entry))

    def feed(self, events: Events, *, entry: int | None = None) -> TwinRun:
        """Run the next chunk of a stream; times go on from the last chunk's."""
        return self.run(events, entry=entry, reset=False)

    def run_many(
        self, recordings: Sequence[Events], *, entry: int | None = None, threads: int | None = None
    ) -> list[TwinRun]:
        """Run recordings in parallel, each from the state after configuration.

        Args:
            recordings: inputs.
            entry: as in `run`.
            threads: by default one a processor.
        """
        where = self._checked_entry(entry)
        workers = os.cpu_count() or 1 if threads is None else threads
        if workers < 1:
            raise SettingsError(f"threads must be at least 1, found {threads}.")

        def run_one(events: Events) -> TwinRun:
            return self._run_on(self._new_machine(), events, where)

        with ThreadPoolExecutor(max_workers=workers) as pool:
            return list(pool.map(run_one, recordings))

    def membrane(self, core: int) -> npt.NDArray[np.int16]:
        """int16 `[features, height, width]` copy of a core's membrane potentials."""
        return self._unpacked(core, self._machine.state)

    def peaks(self, core: int) -> npt.NDArray[np.int16]:
        """int16 `[features, height, width]` highest potentials since the last reset.

        Raises:
            SettingsError: the twin was made without `track_peaks`.
        """
        if not self._track_peaks:
            raise SettingsError("Peaks are not kept; make the twin with track_peaks=True.")
        return self._unpacked(core, self._machine.peak)

    def read_neuron(self, core: int, x: int, y: int, feature: int) -> int:
        """Membrane potential of one neuron."""
        return int(self._machine.state[self._address(core, x, y, feature)])

    def write_neuron(self, core: int, x: int, y: int, feature: int, value: int) -> None:
        """Set the membrane potential of one neuron.

        Raises:
            ConfigurationError: the core is not configured, or the value does not fit 16 bits.
            EventError: there is no such neuron.
        """
        if not -32768 <= value <= 32767:
            raise ConfigurationError(
                f"The membrane potential {value} does not fit 16 bits; give -32768 to 32767."
            )
        self._machine.state[self._address(core, x, y, feature)] = value
        if self.assumptions.lose_event_after_write:
            self._machine.counters[core, kernel.LOSE_NEXT] = 1

    def _new_machine(self) -> Machine:
        return Machine(self._layout, self.assumptions, track_peaks=self._track_peaks)

    def _core(self, core: int) -> CoreProgram:
        if core not in self.program.cores:
            raise ConfigurationError(
                f"Core {core} is not configured; configured are {sorted(self.program.cores)}."
            )
        return self.program.cores[core]

    def _address(self, core: int, x: int, y: int, feature: int) -> int:
        features, height, width = self._core(core).out_shape
        if not (0 <= x < width and 0 <= y < height and 0 <= feature < features):
            raise EventError(
                f"Core {core} has no neuron x={x}, y={y}, feature={feature}; its map is "
                f"{features} features of {height} rows and {width} columns."
            )
        return int(self._layout.table[core, at.STATE_AT]) + (y * width + x) * features + feature

    def _unpacked(self, core: int, flat: npt.NDArray[np.int16]) -> npt.NDArray[np.int16]:
        features, height, width = self._core(core).out_shape
        start = int(self._layout.table[core, at.STATE_AT])
        packed = flat[start : start + features * height * width]
        return np.ascontiguousarray(packed.reshape(height, width, features).transpose(2, 0, 1))

    def _checked_entry(self, entry: int | None) -> int:
        where = self.entry if entry is None else entry
        if where != self.program.chip.dvs_layer:
            self._core(where)
        return where

    def _run_on(self, machine: Machine, events: Events, entry: int) -> TwinRun:
        _check_inside(events, self._core(entry).in_shape, entry)
        source = np.full(len(events), at.DIRECT_ROW + entry, dtype=np.int8)
        trace = machine.run(source, _packed(events), record_load=False)
        return self._result(trace, events)

    def _result(self, trace: Trace, events: Events) -> TwinRun:
        layer = trace.words >> 48
        stream = MonitorStream(
            t_us=events.t_us[trace.roots],
            layer=layer.astype(np.int16),
            x=((trace.words >> 16) & 0xFFFF).astype(np.int16),
            y=((trace.words >> 32) & 0xFFFF).astype(np.int16),
            channel=(trace.words & 0xFFFF).astype(np.int16),
        )
        spikes = {}
        for core in self._observed:
            own = np.flatnonzero(layer == core)
            spikes[core] = Spikes(
                t_us=stream.t_us[own],
                x=stream.x[own],
                y=stream.y[own],
                channel=stream.channel[own],
                cause=trace.roots[own],
                shape=self.program.cores[core].out_shape,
            )
        return TwinRun(
            spikes=spikes,
            monitored=stream,
            exit_cores=_exit_cores(self.program),
            events_per_core=trace.events,
            spikes_per_core=trace.spikes,
            synops_per_core=trace.synops,
            dropped_per_core=trace.dropped,
            dropped_input=0,
            input_events=len(events),
            end_us=events.duration_us,
        )


def _observed(program: ChipProgram, observe: Iterable[int]) -> tuple[int, ...]:
    wanted = set(observe) | {i for i, core in program.cores.items() if core.monitor}
    unknown = sorted(wanted - set(program.cores))
    if unknown:
        raise SettingsError(
            f"observe names the cores {unknown}, which are not configured; choose among "
            f"{sorted(program.cores)}."
        )
    return tuple(sorted(wanted))


def _monitoring(program: ChipProgram, cores: tuple[int, ...]) -> ChipProgram:
    watched = {i: replace(core, monitor=i in cores) for i, core in program.cores.items()}
    return replace(program, cores=watched)


def _exit_cores(program: ChipProgram) -> tuple[int, ...]:
    return tuple(
        i
        for i, core in sorted(program.cores.items())
        if not any(d.layer in program.cores for d in core.destinations)
    )


def _packed(events: Events) -> npt.NDArray[np.int64]:
    y, x, feature = (v.astype(np.int64) for v in (events.y, events.x, events.channel))
    return (y << 32) | (x << 16) | feature


def _check_inside(events: Events, shape: tuple[int, int, int], entry: int) -> None:
    outside = (events.channel >= shape[0]) | (events.y >= shape[1]) | (events.x >= shape[2])
    if outside.any():
        i = int(np.flatnonzero(outside)[0])
        raise EventError(
            f"Event {i} is at x={events.x[i]}, y={events.y[i]}, channel={events.channel[i]}, but "
            f"core {entry} has an input of {shape[0]} channels, {shape[1]} rows and {shape[2]} "
            "columns; crop the recording."
        )
