"""The fused inference kernel: all steps of a layer in one pass over its input.

Equal to the plain form to the last bit: the same float32 operations in the same order.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numba
import numpy as np
import numpy.typing as npt
import torch
from numba import njit, prange

Array = npt.NDArray[np.float32]
Sums = npt.NDArray[np.float64]

# Neurons whose potentials (32 KiB) stay in the second-level cache over all steps; with fewer, the
# runs through input and output are too short for the processor to fetch ahead.
_BLOCK = 8192
_NOTHING = np.empty(0, dtype=np.float32), np.empty(0)


def fused_usable(current: torch.Tensor, state: torch.Tensor) -> bool:
    """Whether the kernel can run: float32 on the CPU, and no gradient asked for."""
    wanted = torch.is_grad_enabled() and (current.requires_grad or state.requires_grad)
    plain = current.dtype is torch.float32 and state.dtype is torch.float32
    return plain and current.device.type == "cpu" and not wanted


@dataclass(frozen=True, eq=False)
class Tally:
    """Spikes and what they cause, filled in by the kernel; exact whole numbers.

    Attributes:
        fans: SynOps per spike, float64 `[neurons]` in the order of the memory.
        channels_last: whether the channels are innermost in that order.
        spikes, synops: float64 `[batch, time_steps]`.
    """

    fans: Sums
    channels_last: bool
    spikes: Sums
    synops: Sums


class Settings(NamedTuple):
    """What a layer's neurons do.

    Attributes:
        theta: float32, one value or one per neuron, in the order of the memory.
        phi: φ.
        low: lower clip of the potential, minus infinity for none.
    """

    theta: Array
    phi: int
    low: float


def fused_forward(
    current: torch.Tensor,
    state: torch.Tensor,
    out: torch.Tensor,
    settings: Settings,
    counts: bool,
    tally: Tally | None,
) -> None:
    """Run all steps of `out`, and update `state`. All three lie dense in the same order.

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
    found = np.empty((2, batch if tally else 0, -(-neurons // _BLOCK), steps))
    inverse, fans = (_inverse(theta, neurons, counts), tally.fans) if tally else _NOTHING
    use_torch_threads()
    phi, low = np.float32(settings.phi), np.float32(settings.low)
    _run(x, v, theta, phi, low, y, counts, out is current, inverse, fans, *found)
    if tally:
        tally.spikes[:], tally.synops[:] = found.sum(2)


def flat(x: torch.Tensor, steps: int, neurons: int) -> Array:
    """`[batch, steps, neurons]` of a dense tensor, in the order of its memory; no copy."""
    return x.detach().as_strided((len(x), steps, neurons), (steps * neurons, neurons, 1)).numpy()


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


@njit(cache=True, error_model="numpy")
def _step_uniform(
    v: Array, x: Array, y: Array, theta: float, phi: float, low: float, scale: float
) -> None:
    """One step of a block with one threshold; a function of its own so that it vectorises."""
    for i in range(len(v)):
        u = v[i] + x[i]
        k = np.floor(u / theta)
        k = np.float32(0.0) if k < 0 else k
        k = phi if k > phi else k
        u = u - k * theta
        v[i] = low if u < low else u
        y[i] = k * scale


@njit(cache=True, error_model="numpy")
def _step_amplitudes(v: Array, x: Array, y: Array, theta: Array, phi: float, low: float) -> None:
    """One step of a block with a threshold per neuron, amplitudes out."""
    for i in range(len(v)):
        u = v[i] + x[i]
        k = np.floor(u / theta[i])
        k = np.float32(0.0) if k < 0 else k
        k = phi if k > phi else k
        spikes = k * theta[i]
        u = u - spikes
        v[i] = low if u < low else u
        y[i] = spikes


@njit(cache=True, error_model="numpy")
def _step_counts(v: Array, x: Array, y: Array, theta: Array, phi: float, low: float) -> None:
    """One step of a block with a threshold per neuron, counts out."""
    for i in range(len(v)):
        u = v[i] + x[i]
        k = np.floor(u / theta[i])
        k = np.float32(0.0) if k < 0 else k
        k = phi if k > phi else k
        u = u - k * theta[i]
        v[i] = low if u < low else u
        y[i] = k


@njit(cache=True, error_model="numpy")
def _step_uniform_in_place(
    v: Array, y: Array, theta: float, phi: float, low: float, scale: float
) -> None:
    """`_step_uniform` on one array: with two names for it the compiler would not vectorise."""
    for i in range(len(v)):
        u = v[i] + y[i]
        k = np.floor(u / theta)
        k = np.float32(0.0) if k < 0 else k
        k = phi if k > phi else k
        u = u - k * theta
        v[i] = low if u < low else u
        y[i] = k * scale


@njit(cache=True, error_model="numpy")
def _step_varied_in_place(
    v: Array, y: Array, theta: Array, phi: float, low: float, counts: bool
) -> None:
    """`_step_amplitudes` or `_step_counts` on one array."""
    for i in range(len(v)):
        u = v[i] + y[i]
        k = np.floor(u / theta[i])
        k = np.float32(0.0) if k < 0 else k
        k = phi if k > phi else k
        spikes = k * theta[i]
        u = u - spikes
        v[i] = low if u < low else u
        y[i] = k if counts else spikes


# Sums of whole numbers in float64 are exact, and so the same in any order: they may be reordered
# (`reassoc`), which lets the loop use vectors.
@njit(cache=True, error_model="numpy", fastmath={"reassoc"})
def _count(y: Array, inverse: Array, fans: Sums) -> tuple[float, float]:
    """Spikes of a block in one step, and their SynOps."""
    spikes, synops = 0.0, 0.0
    for i in range(len(y)):
        k = np.float64(np.rint(y[i] * inverse[i]))
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
    y: Array,
    counts: bool,
    in_place: bool,
    inverse: Array,
    fans: Sums,
    spikes: Sums,
    synops: Sums,
) -> None:
    batch, steps, neurons = y.shape
    blocks = (neurons + _BLOCK - 1) // _BLOCK
    uniform, held, tallied = len(theta) == 1, x.shape[1] == 1, len(spikes) > 0
    scale = np.float32(1.0) if counts else theta[0]
    for job in prange(batch * blocks):
        b, block = job // blocks, job % blocks
        a = block * _BLOCK
        z = min(a + _BLOCK, neurons)
        own = theta[:0] if uniform else theta[a:z]
        for t in range(steps):
            source, place = x[b, 0 if held else t, a:z], y[b, t, a:z]
            if uniform and in_place:
                _step_uniform_in_place(v[b, a:z], place, theta[0], phi, low, scale)
            elif uniform:
                _step_uniform(v[b, a:z], source, place, theta[0], phi, low, scale)
            elif in_place:
                _step_varied_in_place(v[b, a:z], place, own, phi, low, counts)
            elif counts:
                _step_counts(v[b, a:z], source, place, own, phi, low)
            else:
                _step_amplitudes(v[b, a:z], source, place, own, phi, low)
            if tallied:  # while the block is in the nearest cache
                found = _count(place, inverse[a:z], fans[a:z])
                spikes[b, block, t], synops[b, block, t] = found
