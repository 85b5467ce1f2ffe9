"""A deployment on the chip twin: recordings one by one, or on end as at a camera."""

from __future__ import annotations

from typing import Any, Literal, overload

from speck_adacal.chip.deploy import Deployment
from speck_adacal.chip.simulation import Simulation, recordings_for, run_on_twin
from speck_adacal.inspection.continuous import ContinuousSimulation, run_on_end
from speck_adacal.inspection.levels import telling
from speck_adacal.twin_search.progress import Progress


@overload
def simulate(
    deployment: Deployment, events: Any, *, progress: Progress | None = ...
) -> Simulation: ...


@overload
def simulate(
    deployment: Deployment,
    events: Any,
    *,
    continuous: Literal[True],
    gap_us: int = ...,
    window_us: int | None = ...,
    seed: int = ...,
    progress: Progress | None = ...,
) -> ContinuousSimulation: ...


def simulate(
    deployment: Deployment,
    events: Any,
    *,
    continuous: bool = False,
    gap_us: int = 0,
    window_us: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Simulation:
    """Run a deployment on the chip twin.

    Args:
        deployment: the result of `deploy`.
        events: one `Events`, a list of them, or images `[n, channels, height, width]` with
            values 0 to 1, which are rate-coded. Where the sensor is wired, recordings of the whole
            sensor go through its stage.
        continuous: put the recordings on end in random order, and never reset the chip, as at a
            camera; without it every sample begins with the configured states.
        gap_us, window_us, seed: of a continuous run: silence behind each recording, length of the
            sliding window (a third of the median recording by default), seed of the order.
        progress: told how many of how many recordings are done.

    Raises:
        CalibrationError: there are no samples, or of a wrong shape or range.
        EventError: the gap or the window is out of range.
    """
    recordings = recordings_for(deployment, events)
    if not continuous:
        return run_on_twin(deployment, recordings, done=telling(progress, "one by one"))
    done = telling(progress, "on end")
    return run_on_end(
        deployment, recordings, gap_us=gap_us, window_us=window_us, seed=seed, done=done
    )
