"""The fused inference kernel: all steps of a layer in one pass over its input.

Equal to the plain form to the last bit: the same float32 operations in the same order.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from typing import NamedTuple

import numba
import numpy as np
import torch

from speck_adacal.snn._kernel import BLOCK, Array, Sums, run_steps

_PROCESS = os.getpid()
_NOTHING = np.empty(0, dtype=np.float32), np.empty(0)


def fused_usable(current: torch.Tensor, state: torch.Tensor) -> bool:
    """Whether the kernel can run: float32 on the CPU, no gradient asked for, and not in a forked
    child, where numba's threads do not exist (the plain form gives the same bits)."""
    if os.getpid() != _PROCESS:
        return False
    wanted = torch.is_grad_enabled() and (current.requires_grad or state.requires_grad)
    plain = current.dtype is torch.float32 and state.dtype is torch.float32
    return plain and current.device.type == "cpu" and not wanted


@dataclass(frozen=True, eq=False)
class Tally:
    """Spikes and what they cause, filled in by the kernel; exact whole numbers.

    Attributes:
        fans: SynOps per spike, float64 `[neurons]`.
        spikes, synops: float64 `[batch, time_steps]`.
    """

    fans: Sums
    spikes: Sums
    synops: Sums


class Settings(NamedTuple):
    """What a layer's neurons do.

    Attributes:
        theta: float32, one value or one per neuron.
        phi: φ.
        least: the least spikes of a step: 0, or -φ of neurons with a sign.
        low: lower clip of the potential, minus infinity for none.
    """

    theta: Array
    phi: int
    least: int
    low: float


def fused_forward(
    current: torch.Tensor,
    state: torch.Tensor,
    out: torch.Tensor,
    settings: Settings,
    counts: bool,
    tally: Tally | None,
) -> None:
    """Run all steps of `out`, and update `state`. All three are contiguous.

    Args:
        current: float32 `[batch, time_steps or 1, *shape]`.
        state: float32 `[batch, *shape]`; changed.
        out: float32 `[batch, time_steps, *shape]`, filled in; it may be `current` itself.
        settings: of the neurons.
        counts: emit counts instead of amplitudes.
        tally: where to count, if anybody asks.
    """
    (batch, steps), neurons = out.shape[:2], math.prod(out.shape[2:])
    x, y = flat(current, current.shape[1], neurons), flat(out, steps, neurons)
    v, theta = flat(state, 1, neurons)[:, 0], settings.theta
    found = np.empty((2, batch if tally else 0, -(-neurons // BLOCK), steps))
    inverse, fans = (_inverse(theta, neurons, counts), tally.fans) if tally else _NOTHING
    use_torch_threads()
    phi, least, low = (np.float32(n) for n in settings[1:])
    run_steps(x, v, theta, phi, least, low, y, counts, out is current, inverse, fans, *found)
    if tally:
        tally.spikes[:], tally.synops[:] = found.sum(2)


def flat(x: torch.Tensor, steps: int, neurons: int) -> Array:
    """`[batch, steps, neurons]` of a contiguous tensor; no copy."""
    return x.detach().view(len(x), steps, neurons).numpy()


def _inverse(theta: Array, neurons: int, counts: bool) -> Array:
    if len(theta) == neurons and not counts:
        return np.float32(1) / theta
    return np.full(neurons, np.float32(1) if counts else np.float32(1) / theta[0])


def use_torch_threads() -> None:
    """Run on as many threads as PyTorch; starting numba's must not change PyTorch's number."""
    threads = torch.get_num_threads()
    wanted = min(threads, numba.config.NUMBA_NUM_THREADS)
    if numba.get_num_threads() != wanted:
        numba.set_num_threads(wanted)
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
