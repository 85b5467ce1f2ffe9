"""What a run of the twin returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from speck_adacal.errors import SettingsError
from speck_adacal.twin.load import LoadTrace
from speck_adacal.twin.readout import ReadoutRun

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Spikes:
    """Spikes of one core, in the order of their firing, before pooling.

    Attributes:
        t_us: int64 `[n]`, time of the input event that caused the spike (plus the latency, if a
            latency model is set).
        x, y, channel: int16 `[n]`, column, row and feature.
        cause: int64 `[n]`, index in the run's input of the event that caused it; -1 for a tick
            of the slow clock.
        shape: `(features, height, width)` of the core's map.
    """

    t_us: npt.NDArray[np.int64]
    x: npt.NDArray[np.int16]
    y: npt.NDArray[np.int16]
    channel: npt.NDArray[np.int16]
    cause: npt.NDArray[np.int64]
    shape: tuple[int, int, int]

    def __len__(self) -> int:
        return len(self.t_us)

    def counts(self) -> Counts:
        """int64 `[features, height, width]` spikes of each neuron."""
        flat = np.ravel_multi_index((self.channel, self.y, self.x), self.shape)
        return np.bincount(flat, minlength=int(np.prod(self.shape))).reshape(self.shape)


@dataclass(frozen=True, eq=False)
class MonitorStream:
    """All monitored events of a run in the order in which they came about.

    Attributes:
        t_us: int64 `[n]`.
        layer: int16 `[n]`, 0 to 8 for cores, 13 for the DVS stage.
        x, y, channel: int16 `[n]`.
    """

    t_us: npt.NDArray[np.int64]
    layer: npt.NDArray[np.int16]
    x: npt.NDArray[np.int16]
    y: npt.NDArray[np.int16]
    channel: npt.NDArray[np.int16]

    def __len__(self) -> int:
        return len(self.t_us)


@dataclass(frozen=True, eq=False)
class TwinRun:
    """Simulated activity of one run (or of one fed chunk).

    Attributes:
        spikes: by monitored (or observed) core.
        monitored: all monitored events in the order in which they came about; empty while the
            readout layer is monitored, which silences the other monitors on the chip.
        readout: what the readout layer did, if it is enabled.
        exit_cores: cores that feed no other core.
        events_per_core: int64 `[9]`, input events that reached each core.
        spikes_per_core: int64 `[9]`, spikes fired, monitored or not.
        synops_per_core: int64 `[9]`, (event, neuron) updates inside the map.
        dropped_per_core: int64 `[9]`, events outside a core's input, or lost (see `Assumptions`).
        dropped_input: input events outside the entry's input that were dropped on request.
        input_events: events offered to the chip.
        end_us: time up to which the chip has been run.
        load: work by root event, if it was recorded.
    """

    spikes: Mapping[int, Spikes]
    monitored: MonitorStream
    readout: ReadoutRun | None
    exit_cores: tuple[int, ...]
    events_per_core: Counts
    spikes_per_core: Counts
    synops_per_core: Counts
    dropped_per_core: Counts
    dropped_input: int
    input_events: int
    end_us: int
    load: LoadTrace | None = None

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
