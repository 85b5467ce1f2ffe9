"""Mean output of AdaFire neurons over all steps of an input that is held: no step is kept."""

from __future__ import annotations

import math

import numpy as np
import torch
from numba import njit, prange

from speck_adacal.snn._kernel import Array, Sums, Tally, flat, use_torch_threads
from speck_adacal.snn._values import is_channels_last
from speck_adacal.snn.adafire import AdaFire

_BLOCK = 2048  # neurons whose input, potential, threshold and spikes stay in the nearest cache


def mean_in_time(x: torch.Tensor) -> torch.Tensor:
    """Mean over the time steps of `[batch, time, *shape]`, taken in the order of the memory."""
    return x.movedim(2, -1).mean(1).movedim(-1, 1) if is_channels_last(x) else x.mean(1)


def held_mean(
    neurons: AdaFire, current: torch.Tensor, time_steps: int, tally: Tally
) -> torch.Tensor:
    """`mean_in_time(neurons.run(current, time_steps))`, up to rounding.

    Args:
        neurons: their potentials are those after the last step then.
        current: float32 `[batch, 1, *shape]`, never changed.
        time_steps: T.
        tally: `[batch, 1]`, filled in with the spikes and SynOps of all steps.

    Returns:
        float32 `[batch, *shape]`, in the memory order of `current`.
    """
    if neurons.emit_counts or not neurons.fuses(current):
        every = Tally(tally.fans, tally.channels_last, *np.empty((2, len(current), time_steps)))
        mean = mean_in_time(neurons.run(current, time_steps, tally=every))
        tally.spikes[:, 0], tally.synops[:, 0] = every.spikes.sum(1), every.synops.sum(1)
        return mean
    current, (theta, phi, low) = neurons.laid_out(current)
    mean, size = torch.empty_like(neurons.v_mem), math.prod(current.shape[2:])
    use_torch_threads()
    _run(
        flat(current, 1, size)[:, 0],
        flat(neurons.v_mem, 1, size)[:, 0],
        theta,
        np.float32(phi),
        np.float32(low),
        time_steps,
        flat(mean, 1, size)[:, 0],
        tally.fans,
        tally.spikes,
        tally.synops,
    )
    return mean


@njit(cache=True, error_model="numpy")
def _count(
    v: Array, x: Array, spikes: Array, theta: Array, phi: float, low: float, steps: int
) -> None:
    """All steps of a block of neurons; `spikes` are counted up."""
    for _ in range(steps):
        for i in range(len(v)):
            u = v[i] + x[i]
            k = np.floor(u / theta[i])
            k = np.float32(0.0) if k < 0 else k
            k = phi if k > phi else k
            u = u - k * theta[i]
            v[i] = low if u < low else u
            spikes[i] += k


@njit(cache=True, error_model="numpy", fastmath={"reassoc"})
def _sums(counts: Array, fans: Sums) -> tuple[float, float]:
    """Spikes, and their SynOps: whole numbers, whose sums are exact in any order."""
    spikes, synops = 0.0, 0.0
    for i in range(len(counts)):
        k = np.float64(counts[i])
        spikes += k
        synops += k * fans[i]
    return spikes, synops


@njit(cache=True, parallel=True, error_model="numpy")
def _run(
    x: Array,
    v: Array,
    theta: Array,
    phi: float,
    low: float,
    steps: int,
    mean: Array,
    fans: Sums,
    spikes: Sums,
    synops: Sums,
) -> None:
    uniform, neurons = len(theta) == 1, x.shape[1]
    everywhere = np.full(_BLOCK, theta[0])
    for b in prange(len(x)):
        spikes[b, 0] = synops[b, 0] = 0.0
        for a in range(0, neurons, _BLOCK):
            z = min(a + _BLOCK, neurons)
            own = everywhere[: z - a] if uniform else theta[a:z]
            place = mean[b, a:z]
            place[:] = np.float32(0.0)
            _count(v[b, a:z], x[b, a:z], place, own, phi, low, steps)
            found = _sums(place, fans[a:z])
            spikes[b, 0] += found[0]
            synops[b, 0] += found[1]
            for i in range(z - a):
                place[i] *= own[i] / np.float32(steps)
