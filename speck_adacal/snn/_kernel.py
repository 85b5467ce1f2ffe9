"""The fused inference kernel: all steps of a layer in one pass over its input.

Equal to the plain form to the last bit: the same float32 operations in the same order.
"""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt
import torch
from numba import njit, prange

Array = npt.NDArray[np.float32]

# Neurons whose potentials (32 KiB) stay in the second-level cache over all steps; with fewer, the
# runs through input and output are too short for the processor to fetch ahead.
_BLOCK = 8192


def fused_usable(current: torch.Tensor, state: torch.Tensor) -> bool:
    """Whether the kernel can run: float32 on the CPU, and no gradient asked for."""
    wanted = torch.is_grad_enabled() and (current.requires_grad or state.requires_grad)
    plain = current.dtype is torch.float32 and state.dtype is torch.float32
    return plain and current.device.type == "cpu" and not wanted


def fused_forward(
    current: torch.Tensor,
    time_steps: int,
    state: torch.Tensor,
    theta: torch.Tensor,
    phi: int,
    low: float | None,
    counts: bool,
    out: torch.Tensor | None = None,
) -> torch.Tensor:
    """Run `time_steps` steps and update `state` in place.

    Args:
        current: float32 `[batch, time_steps or 1, *shape]`.
        time_steps: T.
        state: float32 `[batch, *shape]`, contiguous; changed.
        theta: float32, broadcastable to `[1, *shape]`.
        phi: φ.
        low: lower clip of the potential, or None.
        counts: emit counts instead of amplitudes.
        out: where to put the result; it may be `current` itself, which is then overwritten.

    Returns:
        float32 `[batch, time_steps, *shape]`.
    """
    batch, held = current.shape[0], current.shape[1] == 1
    shape = tuple(current.shape[2:])
    neurons = int(np.prod(shape))
    if out is None:
        out = torch.empty((batch, time_steps, *shape), dtype=torch.float32)
    x = current.detach().contiguous().view(batch, -1, neurons).numpy()
    v = state.detach().view(batch, neurons).numpy()
    y = out.view(batch, time_steps, neurons).numpy()
    floor = np.float32(-np.inf if low is None else low)
    use_torch_threads()
    uniform = theta.numel() == 1
    if uniform:
        thetas = np.array([theta.item()], dtype=np.float32)
        if out is current:
            _uniform_in_place(v, thetas[0], np.float32(phi), floor, y, counts)
        else:
            _uniform(x, v, thetas[0], np.float32(phi), floor, y, held, counts)
    else:
        full = theta.detach().expand(1, *shape).reshape(neurons).contiguous().numpy()
        if out is current:
            _varied_in_place(v, full, np.float32(phi), floor, y, counts)
        else:
            _varied(x, v, full, np.float32(phi), floor, y, held, counts)
    return out


def use_torch_threads() -> None:
    """Run on as many threads as PyTorch; starting numba's must not change PyTorch's number."""
    threads = torch.get_num_threads()
    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
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


@njit(cache=True, parallel=True, error_model="numpy")
def _uniform_in_place(
    v: Array, theta: float, phi: float, low: float, y: Array, counts: bool
) -> None:
    batch, steps, neurons = y.shape
    blocks = (neurons + _BLOCK - 1) // _BLOCK
    scale = np.float32(1.0) if counts else theta
    for job in prange(batch * blocks):
        b = job // blocks
        a = (job % blocks) * _BLOCK
        z = min(a + _BLOCK, neurons)
        for t in range(steps):
            _step_uniform_in_place(v[b, a:z], y[b, t, a:z], theta, phi, low, scale)


@njit(cache=True, parallel=True, error_model="numpy")
def _varied_in_place(
    v: Array, theta: Array, phi: float, low: float, y: Array, counts: bool
) -> None:
    batch, steps, neurons = y.shape
    blocks = (neurons + _BLOCK - 1) // _BLOCK
    for job in prange(batch * blocks):
        b = job // blocks
        a = (job % blocks) * _BLOCK
        z = min(a + _BLOCK, neurons)
        for t in range(steps):
            _step_varied_in_place(v[b, a:z], y[b, t, a:z], theta[a:z], phi, low, counts)


@njit(cache=True, parallel=True, error_model="numpy")
def _uniform(
    x: Array, v: Array, theta: float, phi: float, low: float, y: Array, held: bool, counts: bool
) -> None:
    batch, steps, neurons = y.shape
    blocks = (neurons + _BLOCK - 1) // _BLOCK
    scale = np.float32(1.0) if counts else theta
    for job in prange(batch * blocks):
        b = job // blocks
        a = (job % blocks) * _BLOCK
        z = min(a + _BLOCK, neurons)
        for t in range(steps):
            source = x[b, 0 if held else t, a:z]
            _step_uniform(v[b, a:z], source, y[b, t, a:z], theta, phi, low, scale)


@njit(cache=True, parallel=True, error_model="numpy")
def _varied(
    x: Array, v: Array, theta: Array, phi: float, low: float, y: Array, held: bool, counts: bool
) -> None:
    batch, steps, neurons = y.shape
    blocks = (neurons + _BLOCK - 1) // _BLOCK
    for job in prange(batch * blocks):
        b = job // blocks
        a = (job % blocks) * _BLOCK
        z = min(a + _BLOCK, neurons)
        for t in range(steps):
            source = x[b, 0 if held else t, a:z]
            if counts:
                _step_counts(v[b, a:z], source, y[b, t, a:z], theta[a:z], phi, low)
            else:
                _step_amplitudes(v[b, a:z], source, y[b, t, a:z], theta[a:z], phi, low)
