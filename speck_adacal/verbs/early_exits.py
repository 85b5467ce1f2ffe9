"""When a deployed network may stop reading: exits calibrated to a stated loss of accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import numpy.typing as npt

from speck_adacal.chip.deploy import Deployment
from speck_adacal.inspection.exit_calibration import ExitCheck, calibrate_with_check
from speck_adacal.readout.early_exit import METRICS
from speck_adacal.readout.readouts import EarlyExit
from speck_adacal.samples.batches import encode_for
from speck_adacal.validation import Count, Share, check_value, one_of


def exits(
    deployment: Deployment,
    calibration: Any,
    labels: npt.ArrayLike,
    *,
    names: Sequence[str] | None = None,
    window_us: int = 10_000,
    loss: float = 0.005,
    metric: str = "margin",
) -> tuple[EarlyExit, ExitCheck | None]:
    """Calibrate when a deployed network may stop early.

    Args:
        deployment: the result of `deploy`.
        calibration: recordings, or images, as for `simulate`; some hundred, not those that are
            measured on afterwards.
        labels: int `[n]`, the true classes.
        names: of the classes; their numbers by default.
        window_us: how often to look, in microseconds.
        loss: accuracy that may be lost against reading to the end, 0.005 for half a point.
        metric: of the confidence, `"margin"`, `"entropy"` or `"top"`.

    Returns:
        The read-out, for `save(..., readout=...)` and for sessions; and what such bars lose on
        samples that they have not seen (simulated), None where there are too few to tell.

    Raises:
        CalibrationError: there are too few samples, of another shape, or labels of another number.
        SettingsError: there is no such metric, or another setting is out of range.
    """
    window_us = check_value(Count, window_us, "window_us")
    loss = check_value(Share, loss, "loss")
    metric = check_value(Annotated[str, one_of(*METRICS)], metric, "metric")
    adapted = deployment.adapted
    batches = encode_for(calibration, adapted.ann.input_shape, adapted.recipe)
    return calibrate_with_check(
        deployment,
        batches.recordings(),
        labels,
        names=deployment.classes if names is None else names,
        window_us=window_us,
        loss=loss,
        metric=metric,
        seed=adapted.recipe.settings.seed,
    )
