"""The running cores: states and buffers of one program, and the loop around the kernels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from speck_adacal.errors import SettingsError
from speck_adacal.kernel_cache import compile_afresh
from speck_adacal.twin import core_kernel, delivery, event_kernel, tree_kernel
from speck_adacal.twin import layout as at
from speck_adacal.twin.assumptions import Assumptions
from speck_adacal.twin.kernel_job import Job, job_of
from speck_adacal.twin.kernel_sources import CHECKSUM
from speck_adacal.twin.layout import Layout, aligned

Words = npt.NDArray[np.int64]
_FIRST_CAPACITY = 1 << 12
_LARGEST_CAPACITY = 1 << 31
_OF_LAYOUT = (
    "table",
    "routes",
    "fan_out",
    "incoming",
    "reach",
    "core_order",
    "tick_order",
    "weights",
    "bias",
)
_ORDERS = ("row_column_feature", "feature_row_column", "reversed")


@dataclass(frozen=True, eq=False)
class Trace:
    """What one call of the kernel left behind.

    Attributes:
        words: int64 `[n]`, monitored spikes in the order of their firing, packed. Spikes of
            different cores are in order among each other only with one monitored core, or if
            the machine keeps the monitor's order.
        roots: int64 `[n]`, index of the root event that caused each.
        events, synops, spikes, dropped: int64 `[CORES]` per core, of this call alone.
        load: int64 `[roots, CORES, 2]`, events and SynOps by root event and core, or empty.
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

    Args:
        layout: the program's arrays.
        assumptions: what is not publicly known.
        track_peaks: keep the highest potential of every neuron.
        monitor_order: spikes of different cores are logged in the order in which they come about
            (False allows a faster way through trees).

    Attributes:
        state: int16, all potentials, laid out as `Layout.initial`.
        peak: int16 like `state`, the highest potential each neuron reached, or empty.
    """

    def __init__(
        self,
        layout: Layout,
        assumptions: Assumptions,
        *,
        track_peaks: bool,
        monitor_order: bool = True,
    ) -> None:
        self.layout = layout
        self.track_peaks = track_peaks
        self._options = _options(assumptions)
        self._order = _ORDERS.index(assumptions.spike_order)
        self._as_tree = layout.is_tree and not monitor_order
        rows = at.CORES if self._as_tree else 1
        self._pending = np.zeros((rows, _FIRST_CAPACITY), dtype=np.int64)
        self._pending_root = np.zeros_like(self._pending) if self._as_tree else np.zeros(0, int)
        self._log = np.zeros(_FIRST_CAPACITY, dtype=np.int64)
        self._log_root = np.zeros(_FIRST_CAPACITY, dtype=np.int64)
        self._masks = np.zeros(layout.most_vectors, dtype=np.int64)
        self._frames = np.zeros((event_kernel.FRAMES, event_kernel.FRAME), dtype=np.int64)
        self.reset()

    def reset(self) -> None:
        """Back to the state after configuration."""
        self.state = aligned(self.layout.initial)
        self.peak = aligned(self.state) if self.track_peaks else np.zeros(0, dtype=np.int16)
        self.counters = np.zeros((at.CORES, core_kernel.COUNTERS), dtype=np.int64)

    def run(self, source: npt.NDArray[np.int8], word: Words, *, record_load: bool) -> Trace:
        """Run root events in order.

        Args:
            source: int8 `[n]`, row of `Layout.routes` or `TICK_ROW`.
            word: int64 `[n]`, packed events.
            record_load: keep events and SynOps per root event and core.
        """
        load = np.zeros((len(source) if record_load else 0, at.CORES, 2), dtype=np.int64)
        before = self.counters.copy()
        source, word = np.ascontiguousarray(source), np.ascontiguousarray(word)
        logged = (
            self._run_tree(source, word, load) if self._as_tree else self._run(source, word, load)
        )
        change = self.counters - before
        return Trace(
            words=self._log[:logged].copy(),
            roots=self._log_root[:logged].copy(),
            events=change[:, core_kernel.EVENTS],
            spikes=change[:, core_kernel.SPIKES],
            synops=change[:, core_kernel.SYNOPS],
            dropped=change[:, core_kernel.DROPPED],
            load=load,
        )

    def _run(self, source: npt.NDArray[np.int8], word: Words, load: Words) -> int:
        control = np.zeros(event_kernel.CONTROLS, dtype=np.int64)
        while True:
            job = self._job(root_source=source, root_word=word, load=load, control=control)
            status = event_kernel.run_events(CHECKSUM, job)
            if status == event_kernel.DONE:
                return int(control[event_kernel.LOGGED])
            self._resolve(status, event_kernel.run_events)

    def _run_tree(self, source: npt.NDArray[np.int8], word: Words, load: Words) -> int:
        given: dict[str, npt.NDArray[Any]] = {
            "root_source": source,
            "root_word": word,
            "load": load,
        }
        control = np.zeros(1, dtype=np.int64)
        turns = np.zeros((at.CORES, tree_kernel.TURNS), dtype=np.int64)
        while True:
            job = self._job(**given, control=control, turns=turns)
            status = tree_kernel.run_tree(CHECKSUM, job)
            if status == event_kernel.DONE:
                return int(control[0])
            self._resolve(status, tree_kernel.run_tree)

    def _job(self, **given: npt.NDArray[Any]) -> Job:
        """What a kernel is given: this call's arrays, the layout's, and the buffers as they are."""
        layout = self.layout
        arrays = {
            **given,
            **{name: getattr(layout, name) for name in _OF_LAYOUT},
            "state": self.state,
            "peak": self.peak,
            "masks": self._masks,
            "pending": self._pending,
            "pending_root": self._pending_root,
            "frames": self._frames,
            "log": self._log,
            "log_root": self._log_root,
            "counters": self.counters,
        }
        return job_of(
            arrays,
            roots=len(given["root_source"]),
            cores=len(layout.core_order),
            room=self._pending.shape[1],
            log_room=len(self._log),
            order=self._order,
            options=self._options,
        )

    def _resolve(self, status: int, function: Any) -> None:
        """Do what a kernel that stopped early asks for."""
        if status == event_kernel.STALE:
            compile_afresh(function)
        elif status == event_kernel.GROW_PENDING:
            self._pending = _doubled(self._pending)
            if self._as_tree:
                self._pending_root = _doubled(self._pending_root)
        else:
            self._log, self._log_root = _doubled(self._log), _doubled(self._log_root)


def _doubled(words: Words) -> Words:
    if words.shape[-1] * 2 > _LARGEST_CAPACITY:
        raise SettingsError(
            f"One call of the twin made more than {_LARGEST_CAPACITY // 2} spikes to keep; "
            "feed the recording in shorter chunks."
        )
    return np.concatenate([words, np.zeros_like(words)], axis=-1)


def _options(assumptions: Assumptions) -> int:
    chosen = {
        delivery.WRAP: assumptions.overflow == "wrap",
        delivery.BREADTH_FIRST: assumptions.arbitration == "breadth_first",
        delivery.LEAK_FIRES: assumptions.leak_fires,
        delivery.PASS_FIRST: assumptions.decimator_passes == "first",
        delivery.DECIMATE_MONITOR: assumptions.decimator_before_monitor,
    }
    return sum(bit for bit, on in chosen.items() if on)
