"""The running chip: states and buffers of one program, and the loop around the kernel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from speck_adacal.errors import SettingsError
from speck_adacal.twin import kernel
from speck_adacal.twin import layout as at
from speck_adacal.twin.assumptions import Assumptions
from speck_adacal.twin.layout import Layout

Words = npt.NDArray[np.int64]
_FIRST_CAPACITY = 1 << 12
_LARGEST_CAPACITY = 1 << 31
_ORDERS = ("row_column_feature", "feature_row_column", "reversed")


@dataclass(frozen=True, eq=False)
class Trace:
    """What one call of the kernel left behind.

    Attributes:
        words: int64 `[n]`, monitored spikes in the order of their firing, packed.
        roots: int64 `[n]`, index of the root event that caused each.
        events, synops, spikes, dropped: int64 `[9]` per core, of this call alone.
        load: int64 `[roots, 9, 2]`, events and SynOps by root event and core, or empty.
    """

    words: Words
    roots: Words
    events: Words
    spikes: Words
    synops: Words
    dropped: Words
    load: Words


class Machine:
    """States, counters and buffers of one running program; not shared between threads.

    Attributes:
        state: int16, all potentials, laid out as `Layout.initial`.
        peak: int16 like `state`, the highest potential each neuron reached, or empty.
    """

    def __init__(self, layout: Layout, assumptions: Assumptions, *, track_peaks: bool) -> None:
        self.layout = layout
        self.track_peaks = track_peaks
        self._options = _options(assumptions)
        self._pending = np.zeros(_FIRST_CAPACITY, dtype=np.int64)
        self._log = np.zeros(_FIRST_CAPACITY, dtype=np.int64)
        self._log_root = np.zeros(_FIRST_CAPACITY, dtype=np.int64)
        self._frames = np.zeros((kernel.FRAMES, 3), dtype=np.int64)
        self.reset()

    def reset(self) -> None:
        """Back to the state after configuration."""
        self.state = self.layout.initial.copy()
        self.peak = self.state.copy() if self.track_peaks else np.zeros(0, dtype=np.int16)
        self.counters = np.zeros((at.CORES, kernel.COUNTERS), dtype=np.int64)

    def run(self, source: npt.NDArray[np.int8], word: Words, *, record_load: bool) -> Trace:
        """Run root events in order.

        Args:
            source: int8 `[n]`, row of `Layout.routes` or `TICK_ROW`.
            word: int64 `[n]`, packed events.
            record_load: keep events and SynOps per root event and core.
        """
        control = np.zeros(kernel.CONTROLS, dtype=np.int64)
        load = np.zeros((len(source) if record_load else 0, at.CORES, 2), dtype=np.int64)
        before = self.counters.copy()
        self.counters[:, kernel.SPIKES] = 0
        while (status := self._call(source, word, load, control)) != kernel.DONE:
            self._grow(status)
        logged = int(control[kernel.LOGGED])
        change = self.counters - before
        return Trace(
            words=self._log[:logged].copy(),
            roots=self._log_root[:logged].copy(),
            events=change[:, kernel.EVENTS],
            spikes=self.counters[:, kernel.SPIKES].copy(),
            synops=change[:, kernel.SYNOPS],
            dropped=change[:, kernel.DROPPED],
            load=load,
        )

    def _call(self, source: npt.NDArray[np.int8], word: Words, load: Words, control: Words) -> int:
        layout = self.layout
        return int(
            kernel.run_events(
                source,
                word,
                layout.table,
                layout.routes,
                layout.fan_out,
                layout.phase_start,
                layout.phase_taps,
                layout.tick_order,
                layout.weights,
                layout.bias,
                self.state,
                self.peak,
                self._pending,
                self._frames,
                self._log,
                self._log_root,
                load,
                self.counters,
                control,
                self._options,
            )
        )

    def _grow(self, status: int) -> None:
        if status == kernel.GROW_PENDING:
            self._pending = _doubled(self._pending)
        else:
            self._log, self._log_root = _doubled(self._log), _doubled(self._log_root)


def _doubled(words: Words) -> Words:
    if len(words) * 2 > _LARGEST_CAPACITY:
        raise SettingsError(
            f"One call of the twin made more than {_LARGEST_CAPACITY // 2} monitored spikes; "
            "feed the recording in shorter chunks."
        )
    return np.concatenate([words, np.zeros_like(words)])


def _options(assumptions: Assumptions) -> Words:
    options = np.zeros(kernel.OPTIONS, dtype=np.int64)
    options[kernel.WRAP] = assumptions.overflow == "wrap"
    options[kernel.BREADTH_FIRST] = assumptions.arbitration == "breadth_first"
    options[kernel.SPIKE_ORDER] = _ORDERS.index(assumptions.spike_order)
    options[kernel.LEAK_FIRES] = assumptions.leak_fires
    options[kernel.PASS_FIRST] = assumptions.decimator_passes == "first"
    options[kernel.DECIMATE_MONITOR] = assumptions.decimator_before_monitor
    return options
