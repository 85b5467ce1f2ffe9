"""`Twin`: a Speck in software."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from speck_adacal.chip_description import DEFAULT_CHIP
from speck_adacal.errors import ConfigurationError, EventError, SettingsError
from speck_adacal.events.types import Events
from speck_adacal.twin import layout as at
from speck_adacal.twin.assumptions import Assumptions
from speck_adacal.twin.checks import check_program
from speck_adacal.twin.core_memories import CoreMemories
from speck_adacal.twin.from_samna import program_from_configuration
from speck_adacal.twin.inputs import checked_input
from speck_adacal.twin.layout import lay_out
from speck_adacal.twin.many_runs import Entering, run_each, run_on
from speck_adacal.twin.program import ChipProgram
from speck_adacal.twin.result import Done, TwinRun, counted
from speck_adacal.twin.running import Plan, PreparedInput, RunningChip
from speck_adacal.twin.timing import LatencyModel


class Twin(CoreMemories):
    """Runs a chip configuration event by event, in the chip's integers.

    One twin is one chip: it has states, and is not to be shared between threads (`run_many`
    makes chips of its own).

    Args:
        program: the configuration, see `program_from_configuration`.
        assumptions: what is not publicly known of the chip.
        observe: cores whose spikes are wanted although the configuration does not monitor them.
        slow_clock_hz: rate of the external slow clock, which leak, DVS filter and readout
            follow unless they are set to the internal one; None if it is off.
        latency: adds an estimated latency to the times of spikes; by default a spike carries
            the time of the input event that caused it.
        track_peaks: keep the highest potential of every neuron (slower).

    Raises:
        ConfigurationError: the program could not run on the chip.
        SettingsError: `observe` names a core that is not configured, or the clock's rate is out
            of range.
    """

    def __init__(
        self,
        program: ChipProgram,
        *,
        assumptions: Assumptions | None = None,
        observe: Iterable[int] = (),
        slow_clock_hz: float | None = None,
        latency: LatencyModel | None = None,
        track_peaks: bool = False,
    ) -> None:
        check_program(program)
        self.program = program
        self.assumptions = assumptions or Assumptions()
        _check_balancers(program, self.assumptions)
        observed = _observed(program, observe)
        silent = program.readout is not None and program.readout.monitor
        self._plan = Plan(
            program=program,
            layout=lay_out(_monitoring(program, observed), self.assumptions),
            assumptions=self.assumptions,
            shapes={core: program.cores[core].out_shape for core in observed},
            monitored=() if silent else _monitored(program),
            stage_monitored=program.dvs.monitor and not silent,
            exit_cores=_exit_cores(program),
            slow_clock_hz=slow_clock_hz,
            latency_us=_latencies(program, latency),
            track_peaks=track_peaks,
        )
        self._chip = RunningChip(self._plan)

    @classmethod
    def from_configuration(
        cls,
        config: Any,
        *,
        chip: str = DEFAULT_CHIP,
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
        """Where events enter by default: the DVS stage or the one core that nothing feeds.

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

    @property
    def time_us(self) -> int:
        """Time up to which the chip has been run since the last reset."""
        return self._chip.time_us

    def reset(self) -> None:
        """Back to the state right after configuration, at time 0."""
        self._chip.reset()

    def restart_time(self) -> None:
        """Let time, and the slow clock's phase, start at 0 again; all states stay."""
        self._chip.restart_time()

    def run(
        self,
        events: Events,
        *,
        entry: int | npt.ArrayLike | None = None,
        reset: bool = True,
        outside: str = "error",
        record_load: bool = False,
    ) -> TwinRun:
        """Run a recording.

        Args:
            events: input, sorted by time. Ticks of the slow clock run up to `duration_us`.
            entry: where events enter: a core, the number of the DVS stage, or an array with one
                of these for each event; by default `self.entry`.
            reset: start from the state after configuration.
            outside: `"error"`, or `"drop"` (and count) events outside the entry's input.
            record_load: keep events and SynOps by input event, for `TwinRun.load`.

        Raises:
            EventError: naming the first event that is outside the entry's input, addressed to a
                core that is not configured, or earlier than what was run before.
        """
        if reset:
            self.reset()
        how = Entering(self.entry if entry is None else entry, outside, record_load)
        return run_on(self._plan, self._chip, events, how)

    def feed(
        self, events: Events, *, entry: int | npt.ArrayLike | None = None, outside: str = "error"
    ) -> TwinRun:
        """Run the next chunk of a stream; times go on from the last chunk's."""
        return self.run(events, entry=entry, reset=False, outside=outside)

    def advance(self, until_us: int) -> TwinRun:
        """Let time pass without events: only ticks of the slow clock happen.

        Raises:
            EventError: `until_us` lies before the time up to which the chip has been run.
        """
        if until_us < self.time_us:
            raise EventError(
                f"advance() to {until_us} µs, but the chip has already been run up to "
                f"{self.time_us} µs; give a later time, or call restart_time()."
            )
        nothing = np.zeros(0, dtype=np.int16)
        silence = Events(np.zeros(0, np.int64), nothing, nothing, nothing, (1, 1, 1), until_us)
        return self.run(silence, entry=self.program.chip.dvs_layer, reset=False)

    def tick(self) -> TwinRun:
        """One tick of the external slow clock, now."""
        return self._chip.tick()

    def run_many(
        self,
        recordings: Sequence[Events | PreparedInput],
        *,
        entry: int | None = None,
        threads: int | None = None,
        outside: str = "error",
        record_load: bool = False,
        done: Done | None = None,
    ) -> list[TwinRun]:
        """Run recordings in parallel, each from the state after configuration.

        Args:
            recordings: inputs, or what `prepare` made of them.
            entry, outside, record_load: as in `run`.
            threads: by default one a processor, or wherever runs are spread to (`spread_over`).
            done: told the recordings done and their number.
        """
        how = Entering(self.entry if entry is None else entry, outside, record_load)
        runs = run_each(self._plan, recordings, how, threads)
        return list(counted(runs, len(recordings), done))

    def prepare(
        self, recordings: Sequence[Events], *, entry: int | None = None, outside: str = "error"
    ) -> list[PreparedInput]:
        """Check recordings once, for several runs of each from the state after configuration.

        It serves every twin whose DVS stage, clocks and entry are the same; thresholds, weights
        and states may differ.

        Args:
            recordings: inputs.
            entry, outside: as in `run`.
        """
        layer = self.entry if entry is None else entry
        chip, prepared = RunningChip(self._plan), []
        for events in recordings:
            chip.reset()
            checked = checked_input(self.program, events, layer, after_us=0, outside=outside)
            prepared.append(chip.prepare(checked, events.duration_us))
        return prepared


def _check_balancers(program: ChipProgram, assumptions: Assumptions) -> None:
    switched_on = [i for i, core in sorted(program.cores.items()) if core.congestion_balancer]
    if switched_on and assumptions.congestion_balancer == "refuse":
        raise ConfigurationError(
            f"cnn_layers[{switched_on[0]}].input_congestion_balancer_enable is set, and what it "
            "drops cannot be simulated, as no public source gives the speed of a core; switch it "
            'off, or assume that it never drops: Assumptions(congestion_balancer="never_drops").'
        )


def _monitored(program: ChipProgram) -> tuple[int, ...]:
    return tuple(i for i, core in sorted(program.cores.items()) if core.monitor)


def _latencies(program: ChipProgram, model: LatencyModel | None) -> npt.NDArray[np.int64]:
    table = np.zeros(at.READOUT + 1, dtype=np.int64)
    for core, latency in (model.core_latency_us(program) if model else {}).items():
        table[core] = latency
    return table


def _observed(program: ChipProgram, observe: Iterable[int]) -> tuple[int, ...]:
    wanted = {*observe, *_monitored(program)}
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
