"""How much each core has to do on the user's own recordings (simulated on the twin)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from speck_adacal.chip.deploy import Deployment
from speck_adacal.chip.simulation import entry_of, wired_twin
from speck_adacal.events.types import Events

WINDOW_US = 1000


@dataclass(frozen=True)
class CoreLoad:
    """The load of one core over all recordings.

    Attributes:
        core: 0 to 8.
        mean_synops_per_s: over the recordings' whole duration.
        worst_synops_per_s: in the busiest window, at any place of any recording.
        recording: the one with that window.
        start_us: where the window starts there.
        window_us: its length.
    """

    core: int
    mean_synops_per_s: float
    worst_synops_per_s: float
    recording: int
    start_us: int
    window_us: int


def core_loads(
    deployment: Deployment, recordings: Sequence[Events], *, window_us: int = WINDOW_US
) -> tuple[CoreLoad, ...]:
    """The load of every core in use, in order of the signal.

    Args:
        deployment: what runs.
        recordings: inputs, at least one; they are run one by one, so that memory stays small.
        window_us: length of the windows.
    """
    twin = wired_twin(deployment)
    total = dict.fromkeys(deployment.cores, 0)
    worst = dict.fromkeys(deployment.cores, (-1.0, 0, 0))
    for index, recording in enumerate(recordings):
        run = twin.run(recording, entry=entry_of(deployment, recording)[1], record_load=True)
        for core in deployment.cores:
            total[core] += int(run.synops_per_core[core])
            if run.load is not None:
                window = run.load.worst(core, window_us)
                worst[core] = max(worst[core], (window.per_s, index, window.start_us))
    seconds = max(sum(recording.duration_us for recording in recordings), 1) / 1e6
    return tuple(
        CoreLoad(
            core=core,
            mean_synops_per_s=total[core] / seconds,
            worst_synops_per_s=float(np.maximum(worst[core][0], 0.0)),
            recording=worst[core][1],
            start_us=worst[core][2],
            window_us=window_us,
        )
        for core in deployment.cores
    )
