"""Spikes and SynOps of a layer's output: what the fused kernel counts as it goes, afterwards."""

from __future__ import annotations

import numpy as np
import torch

from speck_adacal.snn._kernel import Sums
from speck_adacal.snn._values import broadcastable
from speck_adacal.snn.fused import Tally


class Tallies:
    """Makes tallies; keeps each layer's SynOps per spike as its kernel wants them."""

    def __init__(self) -> None:
        self._fans: dict[str, tuple[torch.Tensor | None, Sums]] = {}

    def empty(
        self, name: str, current: torch.Tensor, time_steps: int, fans: torch.Tensor | None
    ) -> Tally:
        """A tally for a layer with this input.

        Args:
            name: the layer's.
            current: `[batch, time, *shape]`.
            time_steps: T.
            fans: SynOps per spike, `[*shape]`; None for none.
        """
        source, flat = self._fans.get(name, (None, np.empty(0)))
        if source is not fans or len(flat) != current[0, 0].numel():
            per_spike = torch.zeros(current.shape[2:]) if fans is None else fans
            flat = per_spike.reshape(-1).double().numpy()
            self._fans[name] = fans, flat
        return Tally(flat, *np.empty((2, current.shape[0], time_steps)))


def count_afterwards(spikes: torch.Tensor, theta: torch.Tensor, tally: Tally) -> None:
    """Count the spikes of every sample and step, and what they cause.

    Args:
        spikes: amplitudes, whole multiples of θ (negative ones count too), `[batch, time, *shape]`.
        theta: θ, a single value, one per channel or one per neuron.
        tally: filled in.
    """
    theta = broadcastable(theta, spikes.ndim - 2).to(spikes)
    counts = (
        (spikes.detach() / (theta.unsqueeze(1) if theta.ndim else theta)).round().abs().double()
    )
    rows = counts.flatten(2).cpu()
    tally.spikes[:] = rows.sum(2).numpy()
    tally.synops[:] = (rows @ torch.from_numpy(tally.fans)).numpy()
