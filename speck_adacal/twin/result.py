"""What a run of the twin returns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from speck_adacal.errors import SettingsError
from speck_adacal.twin.load import LoadTrace
from speck_adacal.twin.readout import ReadoutRun
from speck_adacal.twin.spike_log import MonitorStream, SpikeLog, Spikes

Counts = npt.NDArray[np.int64]
Done = Callable[[int, int], None]
"""Told how many of how many recordings are done."""

One = TypeVar("One")


def counted(runs: Iterable[One], total: int, done: Done | None) -> Iterator[One]:
    """The runs as they come, each told to `done`."""
    for number, run in enumerate(runs, 1):
        if done is not None:
            done(number, total)
        yield run


@dataclass(frozen=True, eq=False)
class TwinRun:
    """Simulated activity of one run (or of one fed chunk).

    Attributes:
        spikes: by monitored (or observed) core.
        readout: what the readout layer did, if it is enabled.
        exit_cores: cores that feed no other core.
        events_per_core: int64 `[cores]`, input events that reached each core.
        spikes_per_core: int64 `[cores]`, spikes fired, monitored or not.
        synops_per_core: int64 `[cores]`, (event, neuron) updates inside the map.
        dropped_per_core: int64 `[cores]`, events outside a core's input, or lost (see
            `Assumptions`).
        dropped_input: input events outside the entry's input that were dropped on request.
        input_events: events offered to the chip.
        end_us: time up to which the chip has been run.
        log: the spikes as the kernel left them.
        monitored_cores: cores whose spikes the chip's monitor bus shows.
        load: work by root event, if it was recorded.
    """

    spikes: Mapping[int, Spikes]
    readout: ReadoutRun | None
    exit_cores: tuple[int, ...]
    events_per_core: Counts
    spikes_per_core: Counts
    synops_per_core: Counts
    dropped_per_core: Counts
    dropped_input: int
    input_events: int
    end_us: int
    log: SpikeLog
    monitored_cores: tuple[int, ...]
    load: LoadTrace | None = None

    @cached_property
    def monitored(self) -> MonitorStream:
        """All monitored events in the order in which they came about.

        Empty while the readout layer is monitored, which silences the other monitors.
        """
        return self.log.stream(self.monitored_cores)

    @property
    def output(self) -> Spikes:
        """Spikes of the one monitored core that feeds no other.

        Raises:
            SettingsError: no such core is monitored, or several are.
        """
        found = [core for core in self.exit_cores if core in self.spikes]
        if len(found) != 1:
            raise SettingsError(
                f"output needs exactly one monitored core among the exit cores "
                f"{list(self.exit_cores)}, found {found}; enable monitor_enable there, pass "
                "observe=(core,) to the twin, or read .spikes[core]."
            )
        return self.spikes[found[0]]

    @property
    def synops(self) -> int:
        """SynOps of all cores."""
        return int(self.synops_per_core.sum())
