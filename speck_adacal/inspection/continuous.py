"""Recordings on end, never reset: what a network does at a camera. Every figure is simulated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from speck_adacal.chip.deploy import Deployment
from speck_adacal.chip.simulation import (
    ChipDecisions,
    Simulation,
    chip_decisions,
    decided,
    entry_of,
    wired_twin,
)
from speck_adacal.errors import EventError
from speck_adacal.events.types import Events
from speck_adacal.readout.class_counts import counts_at, leaders
from speck_adacal.twin import Spikes
from speck_adacal.twin.result import Done, TwinRun

Ints = npt.NDArray[np.int64]
_LATEST_US = 1 << 31  # well before the 32 bits of the chip's time are used up
_STEPS_A_WINDOW = 10


@dataclass(frozen=True, eq=False)
class ContinuousSimulation(Simulation):
    """A simulation of recordings on end, with all states carried over.

    What `Simulation` holds is told by recording, in the order in which they were given: spikes
    between its start and the next one's, times from its start.

    Attributes:
        order: int64 `[n]`, the recordings in the order in which they ran.
        starts_us: int64 `[n]`, when each of them began.
        window_us: length of the sliding window.
        moments_us: int64 `[m]`, ends of the sliding windows.
        sliding: int64 `[m]`, the class that leads among the spikes of each window; -1 for none.
    """

    order: Ints
    starts_us: Ints
    window_us: int
    moments_us: Ints
    sliding: Ints

    def sliding_accuracy(self, labels: npt.ArrayLike) -> float:
        """Share of moments at which the sliding window's decision is right."""
        return float(np.mean(self.sliding == self._truth(labels)))

    def reaction_us(self, labels: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """float64 `[changes]`: from each change to a scene of another class, the time until the
        sliding window's decision is right; infinite where it never is before the next scene."""
        scenes = np.asarray(labels)[self.order]
        changed = np.flatnonzero(np.diff(scenes)) + 1
        found = np.full(len(changed), np.inf)
        right = np.flatnonzero(self.sliding == self._truth(labels))
        scene = self._scene()[right]
        first = np.searchsorted(scene, changed)
        hit = (first < len(right)) & (scene[np.minimum(first, len(right) - 1)] == changed)
        starts = np.sort(self.starts_us)[changed]
        found[hit] = self.moments_us[right[first[hit]]] - starts[hit]
        return found

    def drift(self, labels: npt.ArrayLike) -> tuple[float, float]:
        """Accuracy in the last sixth of the stream minus that in the first, with its error."""
        right = (self.decisions == np.asarray(labels))[self.order].astype(np.float64)
        part = max(1, len(right) // 6)
        first, last = right[:part], right[-part:]
        error = np.sqrt((first.var() + last.var()) / part)
        return float(last.mean() - first.mean()), float(error)

    def _scene(self) -> Ints:
        """Number of the scene, in the order of running, that each moment belongs to."""
        return np.searchsorted(np.sort(self.starts_us), self.moments_us, side="left") - 1

    def _truth(self, labels: npt.ArrayLike) -> Ints:
        return np.asarray(np.asarray(labels)[self.order][self._scene()], dtype=np.int64)


def run_on_end(
    deployment: Deployment,
    recordings: Sequence[Events],
    *,
    gap_us: int = 0,
    window_us: int | None = None,
    seed: int = 0,
    done: Done | None = None,
) -> ContinuousSimulation:
    """Run recordings on end through the chip twin, in random order, and never reset it.

    Args:
        deployment: what runs.
        recordings: inputs, of the network's input shape.
        gap_us: silence behind each of them.
        window_us: length of the sliding window; a third of the median recording by default.
        seed: of the order.
        done: told the recordings done and their number.

    Raises:
        EventError: there are no recordings, one has another shape, or a time is out of range.
    """
    if not recordings or gap_us < 0 or (window_us is not None and window_us < _STEPS_A_WINDOW):
        raise EventError(
            f"A stream needs at least one recording, a gap of at least 0 µs and a window of at "
            f"least {_STEPS_A_WINDOW} µs; found {len(recordings)}, {gap_us} and {window_us}."
        )
    order = np.random.default_rng(seed).permutation(len(recordings))
    lasts = np.array([recording.duration_us + 1 + gap_us for recording in recordings])
    ends = lasts[order].cumsum()
    starts = np.empty(len(order), dtype=np.int64)
    starts[order] = ends - lasts[order]
    passed = _passed(deployment, recordings, order, starts, done)
    output = tuple(one.output for one in passed)
    classes, decisions, class_counts = decided(deployment, output)
    window = window_us or max(_STEPS_A_WINDOW, int(np.median(lasts)) // 3)
    moments, sliding = _sliding(
        np.concatenate([output[i].t_us + starts[i] for i in order]),
        np.concatenate([classes[i] for i in order]),
        deployment.classes,
        window,
        int(ends[-1]),
    )
    return ContinuousSimulation(
        decisions=decisions,
        class_counts=class_counts,
        output=output,
        output_class=classes,
        events=np.array([len(recording) for recording in recordings], dtype=np.int64),
        spikes_per_core=np.stack([one.spikes_per_core for one in passed]),
        synops_per_core=np.stack([one.synops_per_core for one in passed]),
        chip_decisions=tuple(one.said for one in passed if one.said is not None),
        order=order,
        starts_us=starts,
        window_us=window,
        moments_us=moments,
        sliding=sliding,
    )


@dataclass(frozen=True, eq=False)
class _Passed:
    """What one recording of a stream caused; times of the output spikes are the recording's."""

    output: Spikes
    spikes_per_core: Ints
    synops_per_core: Ints
    said: ChipDecisions | None


def _read_out(run: TwinRun, by_us: int) -> ChipDecisions:
    said = chip_decisions(run)
    return replace(said, t_us=said.t_us + by_us)


def _passed(
    deployment: Deployment,
    recordings: Sequence[Events],
    order: Ints,
    starts: Ints,
    done: Done | None,
) -> list[_Passed]:
    """Run the recordings in this order, each where the one before it left the states."""
    twin = wired_twin(deployment)
    _, entry = entry_of(deployment, recordings[0])
    found: dict[int, _Passed] = {}
    base = 0  # the stream's time at which the chip's own time was 0
    for index in order.tolist():
        recording, start = recordings[index], int(starts[index])
        if start + recording.duration_us - base >= _LATEST_US:
            base += twin.time_us
            twin.restart_time()
        run = twin.feed(_moved(recording, start - base), entry=entry)
        spikes = run.spikes[deployment.readout_core]
        output = replace(spikes, t_us=spikes.t_us + (base - start))
        said = _read_out(run, base - start) if deployment.wiring.readout else None
        found[index] = _Passed(output, run.spikes_per_core, run.synops_per_core, said)
        if done is not None:
            done(len(found), len(recordings))
    return [found[index] for index in range(len(recordings))]


def _moved(events: Events, by_us: int) -> Events:
    return Events(
        events.t_us + by_us,
        events.x,
        events.y,
        events.channel,
        events.shape,
        events.duration_us + by_us,
    )


def _sliding(
    t_us: Ints, labels: Ints, classes: int, window_us: int, end_us: int
) -> tuple[Ints, Ints]:
    """Ends of the sliding windows, and the class that leads in each."""
    step_us = window_us // _STEPS_A_WINDOW
    moments = np.arange(step_us, end_us + 1, step_us)
    counts, reached = counts_at(labels, np.searchsorted(t_us, moments, side="right"), classes)
    before = np.zeros_like(counts)
    before[_STEPS_A_WINDOW:] = counts[:-_STEPS_A_WINDOW]
    return moments, leaders(counts - before, reached)
