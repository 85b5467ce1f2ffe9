"""Mean output of AdaFire neurons over all steps of an input that is held: no step is kept."""

from __future__ import annotations

import math

import numpy as np
import torch

from speck_adacal.snn._kernel import run_constant
from speck_adacal.snn.adafire import AdaFire
from speck_adacal.snn.fused import Tally, flat, use_torch_threads


def mean_on_constant(
    neurons: AdaFire, current: torch.Tensor, time_steps: int, tally: Tally
) -> torch.Tensor:
    """`neurons.run(current, time_steps).mean(1)`, up to rounding.

    Args:
        neurons: their potentials are those after the last step then.
        current: float32 `[batch, 1, *shape]`, never changed.
        time_steps: T.
        tally: `[batch, 1]`, filled in with the spikes and SynOps of all steps.

    Returns:
        float32 `[batch, *shape]`.
    """
    plain = neurons.emit_counts or neurons.signed or neurons.step_bias is not None
    if plain or not neurons.fuses(current):
        every = Tally(tally.fans, *np.empty((2, len(current), time_steps)))
        mean = neurons.run(current, time_steps, tally=every).mean(1)
        tally.spikes[:, 0], tally.synops[:, 0] = every.spikes.sum(1), every.synops.sum(1)
        return mean
    current, (theta, phi, least, low) = neurons.for_kernel(current)
    mean, size = torch.empty_like(neurons.v_mem), math.prod(current.shape[2:])
    use_torch_threads()
    run_constant(
        flat(current, 1, size)[:, 0],
        flat(neurons.v_mem, 1, size)[:, 0],
        theta,
        np.float32(phi),
        np.float32(least),
        np.float32(low),
        time_steps,
        flat(mean, 1, size)[:, 0],
        tally.fans,
        tally.spikes,
        tally.synops,
    )
    return mean
