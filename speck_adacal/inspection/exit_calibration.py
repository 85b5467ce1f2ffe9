"""An early exit calibrated on recordings, window by window, with the twin in the loop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from speck_adacal.chip.deploy import Deployment
from speck_adacal.chip.simulation import Simulation, run_on_twin
from speck_adacal.errors import CalibrationError
from speck_adacal.events.labels import checked_labels
from speck_adacal.events.types import Events
from speck_adacal.readout.class_counts import counts_at, leaders
from speck_adacal.readout.class_map import ClassMap
from speck_adacal.readout.decision import Ints
from speck_adacal.readout.early_exit import FEWEST, calibrate_exit_rule
from speck_adacal.readout.readouts import EarlyExit
from speck_adacal.twin import Spikes


@dataclass(frozen=True, eq=False)
class WindowedOutput:
    """Output spikes of recordings, window by window.

    Attributes:
        counts: int64 `[recordings, windows, classes]`, spikes of each window.
        leaders: int64 `[recordings, windows]`, the class that leads at the window's end; -1 for
            none.
    """

    counts: Ints
    leaders: Ints

    def part(self, which: Ints) -> WindowedOutput:
        """Some of the recordings."""
        return WindowedOutput(self.counts[which], self.leaders[which])


def windowed_output(
    class_map: ClassMap, output: Sequence[Spikes], *, window_us: int, windows: int
) -> WindowedOutput:
    """Count output spikes window by window.

    Args:
        class_map: of the read-out core.
        output: its spikes, of each recording.
        window_us: length of a window.
        windows: their number; later spikes count for the last one.
    """
    counts = np.zeros((len(output), windows, class_map.classes), dtype=np.int64)
    found = np.zeros((len(output), windows), dtype=np.int64)
    ends = window_us * np.arange(1, windows + 1)
    for index, spikes in enumerate(output):
        until = np.searchsorted(spikes.t_us, ends, side="left")
        until[-1] = len(spikes)
        labels = class_map.of(spikes.channel, spikes.y, spikes.x)
        counts[index], reached = counts_at(labels, until, class_map.classes)
        found[index] = leaders(counts[index], reached)
    return WindowedOutput(np.diff(counts, axis=1, prepend=0), found)


def calibrate_early_exit(
    deployment: Deployment,
    recordings: Sequence[Events],
    labels: npt.ArrayLike,
    *,
    names: Sequence[str] | int,
    window_us: int = 10_000,
    loss: float = 0.005,
    metric: str = "margin",
    seed: int = 0,
    simulation: Simulation | None = None,
) -> EarlyExit:
    """Bars α_t that stop as early as they may at a stated loss of accuracy.

    Args:
        deployment: what runs on the chip.
        recordings: for calibration; not those that are measured on afterwards.
        labels: int `[recordings]`.
        names: of the classes, or their number.
        window_us: length of a window.
        loss: accuracy that may be lost against reading to the end, 0.005 for half a point.
        metric: of the confidence, see `ExitRule`.
        seed: of the folds.
        simulation: of these recordings, where it is known already.

    Raises:
        CalibrationError: there are too few recordings, or labels of another number.
    """
    if window_us < 1:
        raise CalibrationError(f"window_us must be at least 1 µs, found {window_us}.")
    recordings = [recording.from_own_start() for recording in recordings]
    targets = checked_labels(labels, len(recordings), deployment.classes)
    longest = max((r.duration_us for r in recordings), default=0)
    run = simulation or run_on_twin(deployment, recordings)
    windows = -(-longest // window_us) or 1
    found = windowed_output(deployment.class_map, run.output, window_us=window_us, windows=windows)
    rule = calibrate_exit_rule(
        found.counts, targets, loss, leaders=found.leaders, metric=metric, seed=seed
    )
    return EarlyExit(names, rule, window_us)


@dataclass(frozen=True)
class ExitCheck:
    """An early exit on samples that its bars had not seen (simulated).

    Attributes:
        samples: their number.
        accuracy: with the early exit.
        accuracy_full: read to the end.
        standard_error: of the difference between the two.
        windows: mean share of the windows that were read.
    """

    samples: int
    accuracy: float
    accuracy_full: float
    standard_error: float
    windows: float


def calibrate_with_check(
    deployment: Deployment,
    recordings: Sequence[Events],
    labels: npt.ArrayLike,
    *,
    names: Sequence[str] | int,
    window_us: int,
    loss: float,
    metric: str = "margin",
    seed: int = 0,
) -> tuple[EarlyExit, ExitCheck | None]:
    """`calibrate_early_exit`, and what such bars lose on samples that they have not seen.

    The check calibrates on every second sample and measures on the others, both ways. It is None
    where a half has too few samples to calibrate on.

    Raises:
        CalibrationError: as `calibrate_early_exit`.
    """
    recordings = [recording.from_own_start() for recording in recordings]
    labels = checked_labels(labels, len(recordings), deployment.classes)
    run = run_on_twin(deployment, recordings)
    readout = calibrate_early_exit(
        deployment,
        recordings,
        labels,
        names=names,
        window_us=window_us,
        loss=loss,
        metric=metric,
        seed=seed,
        simulation=run,
    )
    windows = len(readout.rule.bars)
    found = windowed_output(deployment.class_map, run.output, window_us=window_us, windows=windows)
    return readout, _held_out(found, labels, loss, metric, seed)


def held_out_exits(
    output: WindowedOutput,
    labels: Ints,
    loss: float,
    *,
    metric: str = "margin",
    seed: int = 0,
) -> Ints:
    """The window at whose end each sample exits, by bars calibrated on the other half.

    Args:
        output: of at least `2 * FEWEST` samples.
        labels: int64 `[samples]`.
        loss, metric, seed: as for `calibrate_early_exit`.

    Returns:
        int64 `[samples]`, windows from 0.
    """
    samples = len(output.counts)
    exits = np.zeros(samples, dtype=np.int64)
    sums = output.counts.cumsum(1)
    for half in (0, 1):
        seen, unseen = np.arange(half, samples, 2), np.arange(1 - half, samples, 2)
        known = output.part(seen)
        rule = calibrate_exit_rule(
            known.counts, labels[seen], loss, leaders=known.leaders, metric=metric, seed=seed
        )
        exits[unseen] = rule.exits(sums[unseen])
    return exits


def _held_out(
    output: WindowedOutput, labels: Ints, loss: float, metric: str, seed: int
) -> ExitCheck | None:
    if len(labels) < 2 * FEWEST:
        return None
    samples, windows = output.leaders.shape
    exits = held_out_exits(output, labels, loss, metric=metric, seed=seed)
    right = output.leaders == labels[:, None]
    early, full = right[np.arange(samples), exits], right[:, -1]
    difference = early.astype(np.float64) - full
    return ExitCheck(
        samples=samples,
        accuracy=float(early.mean()),
        accuracy_full=float(full.mean()),
        standard_error=float(difference.std() / np.sqrt(samples)),
        windows=float((exits + 1).mean() / windows),
    )
