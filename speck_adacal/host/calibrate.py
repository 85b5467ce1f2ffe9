"""An early exit calibrated on recordings, window by window, with the twin in the loop."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from speck_adacal.chip.deploy import Deployment
from speck_adacal.chip.simulate import Simulation, run_on_twin
from speck_adacal.errors import CalibrationError
from speck_adacal.events.types import Events
from speck_adacal.host.exit_rule import calibrate_window_rule
from speck_adacal.host.readout import EarlyExit
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
