"""Compiled loops over AdaFire neurons, behind `fused` and `constant_input`.

Every loop fires its neurons by the one function `_fire`, and is a function of its own so that it
becomes vectors. All are in this file, as numba's cache notices changes of a function's own file
only. Arrays are float32 `[neurons]` of a block, or `[batch, time, neurons]`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit, prange

Array = npt.NDArray[np.float32]
Sums = npt.NDArray[np.float64]

# Neurons whose potentials (32 KiB) stay in the second-level cache over all steps; with fewer, the
# runs through input and output are too short for the processor to fetch ahead.
BLOCK = 8192
_CONSTANT_BLOCK = 2048  # input, potential, threshold and spikes stay in the nearest cache


@njit(error_model="numpy")
def _fire(u, theta, phi, least, low):  # type: ignore[no-untyped-def]
    """Spikes of a neuron at potential `u`, and the potential that is left (eqs. 1 to 3)."""
    k = np.floor(u / theta)
    k = least if k < least else k
    k = phi if k > phi else k
    u = u - k * theta
    return k, low if u < low else u


@njit(cache=True, error_model="numpy")
def _step_uniform(
    v: Array, x: Array, y: Array, theta: float, phi: float, least: float, low: float, scale: float
) -> None:
    """One step of a block with one threshold."""
    for i in range(len(v)):
        k, v[i] = _fire(v[i] + x[i], theta, phi, least, low)
        y[i] = k * scale


@njit(cache=True, error_model="numpy")
def _step_varied(
    v: Array, x: Array, y: Array, theta: Array, phi: float, least: float, low: float, counts: bool
) -> None:
    """One step of a block with a threshold per neuron."""
    for i in range(len(v)):
        k, v[i] = _fire(v[i] + x[i], theta[i], phi, least, low)
        y[i] = k if counts else k * theta[i]


@njit(cache=True, error_model="numpy")
def _step_uniform_in_place(
    v: Array, y: Array, theta: float, phi: float, least: float, low: float, scale: float
) -> None:
    """`_step_uniform` on one array: with two names for it the compiler would not vectorise."""
    for i in range(len(v)):
        k, v[i] = _fire(v[i] + y[i], theta, phi, least, low)
        y[i] = k * scale


@njit(cache=True, error_model="numpy")
def _step_varied_in_place(
    v: Array, y: Array, theta: Array, phi: float, least: float, low: float, counts: bool
) -> None:
    """`_step_varied` on one array."""
    for i in range(len(v)):
        k, v[i] = _fire(v[i] + y[i], theta[i], phi, least, low)
        y[i] = k if counts else k * theta[i]


# Sums of whole numbers in float64 are exact, and so the same in any order: they may be reordered
# (`reassoc`), which lets the loop use vectors.
@njit(cache=True, error_model="numpy", fastmath={"reassoc"})
def _sums(y: Array, inverse: Array, fans: Sums) -> tuple[float, float]:
    """Spikes of a block in one step, and their SynOps."""
    spikes, synops = 0.0, 0.0
    for i in range(len(y)):
        k = np.float64(np.abs(np.rint(y[i] * inverse[i])))
        spikes += k
        synops += k * fans[i]
    return spikes, synops


@njit(cache=True, parallel=True, error_model="numpy")
def run_steps(
    x: Array,
    v: Array,
    theta: Array,
    phi: float,
    least: float,
    low: float,
    y: Array,
    counts: bool,
    in_place: bool,
    inverse: Array,
    fans: Sums,
    spikes: Sums,
    synops: Sums,
) -> None:
    """All steps of all neurons.

    Args:
        x: input, `[batch, time or 1, neurons]`.
        v: potentials, `[batch, neurons]`; changed.
        theta: θ, one value or `[neurons]`.
        phi, least, low: φ, the least spikes of a step (0, or -φ), and the lower clip.
        y: output, `[batch, time, neurons]`; filled in.
        counts: counts rather than amplitudes.
        in_place: whether `y` is `x` itself.
        inverse: what makes counts of `y`, `[neurons]`; empty where nothing is counted.
        fans: SynOps per spike, `[neurons]`.
        spikes, synops: `[batch, blocks, time]`, filled in; empty where nothing is counted.
    """
    batch, steps, neurons = y.shape
    blocks = (neurons + BLOCK - 1) // BLOCK
    uniform, held, tallied = len(theta) == 1, x.shape[1] == 1, len(spikes) > 0
    scale = np.float32(1.0) if counts else theta[0]
    for job in prange(batch * blocks):
        b, block = job // blocks, job % blocks
        a = block * BLOCK
        z = min(a + BLOCK, neurons)
        own = theta[:0] if uniform else theta[a:z]
        for t in range(steps):
            source, place = x[b, 0 if held else t, a:z], y[b, t, a:z]
            if uniform and in_place:
                _step_uniform_in_place(v[b, a:z], place, theta[0], phi, least, low, scale)
            elif uniform:
                _step_uniform(v[b, a:z], source, place, theta[0], phi, least, low, scale)
            elif in_place:
                _step_varied_in_place(v[b, a:z], place, own, phi, least, low, counts)
            else:
                _step_varied(v[b, a:z], source, place, own, phi, least, low, counts)
            if tallied:  # while the block is in the nearest cache
                found = _sums(place, inverse[a:z], fans[a:z])
                spikes[b, block, t], synops[b, block, t] = found


@njit(cache=True, error_model="numpy")
def _count_constant(
    v: Array,
    x: Array,
    spikes: Array,
    theta: Array,
    phi: float,
    least: float,
    low: float,
    steps: int,
) -> None:
    """All steps of a block on an input that is held; `spikes` are counted up."""
    for _ in range(steps):
        for i in range(len(v)):
            k, v[i] = _fire(v[i] + x[i], theta[i], phi, least, low)
            spikes[i] += k


@njit(cache=True, parallel=True, error_model="numpy")
def run_constant(
    x: Array,
    v: Array,
    theta: Array,
    phi: float,
    least: float,
    low: float,
    steps: int,
    mean: Array,
    fans: Sums,
    spikes: Sums,
    synops: Sums,
) -> None:
    """Mean amplitude of all neurons over `steps` steps of an input that is held.

    Args:
        x: input, `[batch, neurons]`.
        v, theta, phi, least, low, fans: as for `run_steps`.
        steps: T.
        mean: `[batch, neurons]`, filled in.
        spikes, synops: of all steps, `[batch, 1]`, filled in.
    """
    uniform, neurons = len(theta) == 1, x.shape[1]
    everywhere = np.full(_CONSTANT_BLOCK, theta[0])
    ones = np.full(_CONSTANT_BLOCK, np.float32(1.0))
    for b in prange(len(x)):
        spikes[b, 0] = synops[b, 0] = 0.0
        for a in range(0, neurons, _CONSTANT_BLOCK):
            z = min(a + _CONSTANT_BLOCK, neurons)
            own = everywhere[: z - a] if uniform else theta[a:z]
            place = mean[b, a:z]
            place[:] = np.float32(0.0)
            _count_constant(v[b, a:z], x[b, a:z], place, own, phi, least, low, steps)
            found = _sums(place, ones[: z - a], fans[a:z])
            spikes[b, 0] += found[0]
            synops[b, 0] += found[1]
            for i in range(z - a):
                place[i] *= own[i] / np.float32(steps)
