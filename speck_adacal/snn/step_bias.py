"""Biases of single time steps: one per channel and step, in front of neurons or behind outputs."""

from __future__ import annotations

import torch
from torch import nn


def biased(
    table: torch.Tensor, start: int, current: torch.Tensor, steps: int, out: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs with the biases of their steps, and where the result of all steps may be put.

    Args:
        table, start, steps: as for `rows`.
        current: `[batch, steps or 1, channels, …]`; overwritten where it is `out` too.
        out: a place for results, or None.
    """
    biases = rows(table, start, steps, current.ndim - 2)
    if out is current:
        return current.add_(biases), out
    found = current + biases
    return found, found


def rows(table: torch.Tensor, start: int, steps: int, axes: int) -> torch.Tensor:
    """The biases of `steps` steps from `start` on, `[1, steps, channels, 1, …]`.

    Args:
        table: `[T, channels]`, or `[T, *shape]` with ones but for the channels' axis; after its
            end the last row goes on.
        start: steps run before.
        steps: how many to run.
        axes: of a value without batch and time.
    """
    at = torch.arange(start, start + steps).clamp_max(len(table) - 1)
    if table.ndim > 2:
        return table[at].unsqueeze(0)
    return table[at].view(1, steps, -1, *(1,) * (axes - 1))


class StepBiasedOutput(nn.Module):
    """An output layer with a bias per class and time step.

    Args:
        module: the layer itself.
        table: `[T, classes]`.
    """

    def __init__(self, module: nn.Module, table: torch.Tensor) -> None:
        super().__init__()
        self.module = module
        self.table = nn.Parameter(table.float(), requires_grad=False)
        self.steps_run = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Add the biases of the next steps to outputs `[batch, time, classes, …]`."""
        steps = x.shape[1]
        biased = x + rows(self.table, self.steps_run, steps, x.ndim - 2)
        self.steps_run += steps
        return biased

    def reset_states(self) -> None:
        """Begin at the first step again."""
        self.steps_run = 0
