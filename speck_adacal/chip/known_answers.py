"""Known-answer vectors: input events and the spikes that the twin gives for them, core by core."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from speck_adacal.chip.deploy import Deployment
from speck_adacal.events import Events
from speck_adacal.twin import Twin

_EVENTS = 2000
_DURATION_US = 100_000


def random_events(shape: tuple[int, int, int], *, count: int, seed: int) -> Events:
    """Reproducible events, uniform over the map and the window."""
    rng = np.random.default_rng(seed)
    channels, height, width = shape
    return Events(
        t_us=np.sort(rng.integers(0, _DURATION_US, count)),
        x=rng.integers(0, width, count, dtype=np.int16),
        y=rng.integers(0, height, count, dtype=np.int16),
        channel=rng.integers(0, channels, count, dtype=np.int16),
        shape=shape,
        duration_us=_DURATION_US,
    )


def make_known_answers(deployment: Deployment) -> dict[str, npt.NDArray[Any]]:
    """Input events and expected answers.

    Returns:
        Arrays `t_us`, `x`, `y`, `channel` of the input; `spikes_per_core` and `synops_per_core`
        (int64 `[9]`); `output_t_us`, `output_channel` of the readout core's spikes.
    """
    seed = deployment.adapted.recipe.settings.seed
    events = random_events(deployment.layers[0].folded.in_shape, count=_EVENTS, seed=seed)
    return {
        "t_us": events.t_us,
        "x": events.x,
        "y": events.y,
        "channel": events.channel,
        **answers_of(deployment, events),
    }


def answers_of(deployment: Deployment, events: Events) -> dict[str, npt.NDArray[Any]]:
    """What the twin gives for `events`: counts per core, and the readout core's spikes."""
    run = Twin.from_configuration(deployment.mapped.configuration, chip=deployment.chip).run(events)
    output = run.spikes[deployment.readout_core]
    return {
        "spikes_per_core": run.spikes_per_core,
        "synops_per_core": run.synops_per_core,
        "output_t_us": output.t_us,
        "output_channel": output.channel,
    }
