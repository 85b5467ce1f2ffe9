"""Spikes and SynOps of a layer's output, counted in one pass where PyTorch would take four."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from numba import njit, prange

from speck_adacal.snn._kernel import use_torch_threads
from speck_adacal.snn._values import broadcastable, is_channels_last

Array = npt.NDArray[np.float32]


def tally(
    spikes: torch.Tensor, theta: torch.Tensor, fans: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Count the spikes of every sample and step, and what they cause.

    Args:
        spikes: amplitudes, whole multiples of θ, `[batch, time, *shape]`.
        theta: θ, a single value, one per channel or one per neuron.
        fans: SynOps per spike, `[*shape]`, or None.

    Returns:
        Spikes and SynOps (None without `fans`), exact whole numbers, float64 `[batch, time]`.
    """
    theta = broadcastable(theta, spikes.ndim - 2).to(spikes)
    usable = spikes.device.type == "cpu" and spikes.dtype is torch.float32
    return (_fused if usable else _plain)(spikes.detach(), theta, fans)


def _plain(
    spikes: torch.Tensor, theta: torch.Tensor, fans: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor | None]:
    counts = (spikes / (theta.unsqueeze(1) if theta.ndim else theta)).round().double()
    synops = None if fans is None else (counts * fans).flatten(2).sum(2)
    return counts.flatten(2).sum(2), synops


def _fused(
    spikes: torch.Tensor, theta: torch.Tensor, fans: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor | None]:
    shape = spikes.shape[2:]
    per_spike = torch.zeros(shape) if fans is None else fans
    inverse = theta.reciprocal().expand(1, *shape)[0]
    if is_channels_last(spikes):  # the order in memory: `[batch, time, y, x, channel]`
        spikes, per_spike = spikes.movedim(2, -1), per_spike.movedim(0, -1)
        inverse = inverse.movedim(0, -1)
    rows = spikes.contiguous().view(spikes.shape[0] * spikes.shape[1], -1).numpy()
    flat = [x.reshape(-1).contiguous().numpy() for x in (inverse, per_spike)]
    counts, synops = np.zeros(len(rows)), np.zeros(len(rows))
    use_torch_threads()
    _count(rows, *flat, counts, synops)
    found, caused = (torch.from_numpy(x).view(spikes.shape[:2]) for x in (counts, synops))
    return found, None if fans is None else caused


# Sums of whole numbers in float64 are exact, and so the same in any order: they may be reordered
# (`reassoc`), which lets the loop use vectors.
@njit(cache=True, parallel=True, error_model="numpy", fastmath={"reassoc"})
def _count(
    rows: Array,
    inverse: Array,
    fans: Array,
    counts: npt.NDArray[np.float64],
    synops: npt.NDArray[np.float64],
) -> None:
    for row in prange(len(rows)):
        spikes, caused = 0.0, 0.0
        for i in range(rows.shape[1]):
            k = np.float64(np.rint(rows[row, i] * inverse[i]))
            spikes += k
            caused += k * np.float64(fans[i])
        counts[row], synops[row] = spikes, caused
