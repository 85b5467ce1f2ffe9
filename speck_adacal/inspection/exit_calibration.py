"""An early exit calibrated on recordings, window by window, with the twin in the loop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from speck_adacal.chip.deploy import Deployment
from speck_adacal.chip.simulation import Simulation, run_on_twin
from speck_adacal.errors import CalibrationError
from speck_adacal.events.types import Events
from speck_adacal.readout.exit_rule import FEWEST, calibrate_window_rule, first_sure
from speck_adacal.readout.readouts import EarlyExit
from speck_adacal.twin import Spikes


def window_counts(
    output: Sequence[Spikes], classes: int, *, window_us: int, windows: int
) -> npt.NDArray[np.int64]:
    """Output spikes by window and class.

    Args:
        output: output spikes of each recording, of cores with one neuron for each channel.
        classes: their number.
        window_us: length of a window.
        windows: their number; later spikes count for the last one.

    Returns:
        int64 `[recordings, windows, classes]`.
    """
    counts = np.zeros((len(output), windows, classes), dtype=np.int64)
    for index, spikes in enumerate(output):
        window = np.minimum(spikes.t_us // window_us, windows - 1)
        np.add.at(counts[index], (window, spikes.channel.astype(np.int64)), 1)
    return counts


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
        metric: of the confidence, see `WindowRule`.
        seed: of the folds.
        simulation: of these recordings, where it is known already.

    Raises:
        CalibrationError: there are too few recordings, or labels of another number.
    """
    if window_us < 1:
        raise CalibrationError(f"window_us must be at least 1 µs, found {window_us}.")
    targets = np.asarray(labels, dtype=np.int64)
    longest = max((r.duration_us for r in recordings), default=0)
    run = simulation or run_on_twin(deployment, recordings)
    counts = window_counts(
        run.output, deployment.classes, window_us=window_us, windows=-(-longest // window_us) or 1
    )
    rule = calibrate_window_rule(counts, targets, loss, metric=metric, seed=seed)
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
    counts = window_counts(
        run.output, deployment.classes, window_us=window_us, windows=len(readout.rule.bars)
    )
    return readout, _held_out(counts, np.asarray(labels), loss, metric, seed)


def held_out_exits(
    counts: npt.NDArray[np.int64],
    labels: npt.NDArray[np.int64],
    loss: float,
    *,
    metric: str = "margin",
    seed: int = 0,
) -> npt.NDArray[np.int64]:
    """The window at whose end each sample exits, by bars calibrated on the other half.

    Args:
        counts: int64 `[samples, windows, classes]`, see `window_counts`; at least
            `2 * FEWEST` samples.
        labels: int64 `[samples]`.
        loss, metric, seed: as for `calibrate_early_exit`.

    Returns:
        int64 `[samples]`, windows from 0.
    """
    samples = len(counts)
    exits = np.zeros(samples, dtype=np.int64)
    sums = counts.cumsum(1)
    for half in (0, 1):
        seen, unseen = np.arange(half, samples, 2), np.arange(1 - half, samples, 2)
        rule = calibrate_window_rule(counts[seen], labels[seen], loss, metric=metric, seed=seed)
        exits[unseen] = first_sure(rule.confidence(sums[unseen]), np.asarray(rule.bars))
    return exits


def _held_out(
    counts: npt.NDArray[np.int64],
    labels: npt.NDArray[np.int64],
    loss: float,
    metric: str,
    seed: int,
) -> ExitCheck | None:
    if len(labels) < 2 * FEWEST:
        return None
    samples, windows = counts.shape[:2]
    exits = held_out_exits(counts, labels, loss, metric=metric, seed=seed)
    right = counts.cumsum(1).argmax(2) == labels[:, None]
    early, full = right[np.arange(samples), exits], right[:, -1]
    difference = early.astype(np.float64) - full
    return ExitCheck(
        samples=samples,
        accuracy=float(early.mean()),
        accuracy_full=float(full.mean()),
        standard_error=float(difference.std() / np.sqrt(samples)),
        windows=float((exits + 1).mean() / windows),
    )
