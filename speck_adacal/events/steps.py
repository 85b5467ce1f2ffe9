"""Event counts per time step to events."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from speck_adacal.errors import EventError
from speck_adacal.events.types import Events


def counts_to_events(counts: npt.ArrayLike, *, dt_us: int = 1000, seed: int = 0) -> Events:
    """Events whose counts per step are `counts`, spread over each step in a seeded order.

    Args:
        counts: `[T, channels, height, width]`, whole numbers of at least 0.
        dt_us: length of a step in microseconds.
        seed: of the order inside the steps.

    Returns:
        Events of duration `T · dt_us − 1`, so that `to_frames(T)` gives `counts` again.

    Raises:
        EventError: `counts` has another number of axes, or holds other values.
    """
    array = np.asarray(counts)
    if array.ndim != 4 or np.any(array < 0) or np.any(array != np.round(array)):
        raise EventError(
            f"Counts need axes (T, channels, height, width) and whole numbers of at least 0, "
            f"found shape {array.shape}; count events per step first."
        )
    step, channel, y, x = np.nonzero(array)
    repeats = array[step, channel, y, x].astype(np.int64)
    step, channel, y, x = (np.repeat(values, repeats) for values in (step, channel, y, x))
    order = np.lexsort((np.random.default_rng(seed).random(len(step)), step))
    step = step[order]
    per_step = np.bincount(step, minlength=len(array))
    rank = np.arange(len(step)) - (np.cumsum(per_step) - per_step)[step]
    t_us = step * dt_us + rank * dt_us // np.maximum(per_step[step], 1)
    return Events(
        t_us=t_us,
        x=x[order].astype(np.int16),
        y=y[order].astype(np.int16),
        channel=channel[order].astype(np.int16),
        shape=(int(array.shape[1]), int(array.shape[2]), int(array.shape[3])),
        duration_us=len(array) * dt_us - 1,
    )
