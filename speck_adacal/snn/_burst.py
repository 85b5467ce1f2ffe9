"""One time step of burst firing as an autograd function."""

from __future__ import annotations

from typing import Any

import torch


class BurstCount(torch.autograd.Function):
    """`k = clip(floor(u / θ), least, φ)`; backwards as if there were no floor (straight through).

    `least` is 0, or -φ of neurons with a sign.
    """

    @staticmethod
    def forward(
        ctx: Any,
        potential: torch.Tensor,
        theta: torch.Tensor,
        phi: torch.Tensor,
        least: torch.Tensor,
    ) -> torch.Tensor:
        """Spikes of one step, as floats."""
        ratio = potential / theta
        ctx.save_for_backward(ratio, theta, phi, least)
        return torch.floor(ratio).clamp(least, phi)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[torch.Tensor, None, None, None]:
        """Gradient `1/θ` where the count is not clipped, else 0."""
        ratio, theta, phi, least = ctx.saved_tensors
        inside = (ratio > least) & (ratio < phi + 1)
        return grads[0] * inside / theta, None, None, None


def burst(
    potential: torch.Tensor, theta: torch.Tensor, phi: torch.Tensor, least: torch.Tensor
) -> torch.Tensor:
    """Spikes of one step; see `BurstCount`."""
    count: torch.Tensor = BurstCount.apply(potential, theta, phi, least)  # type: ignore[no-untyped-call]
    return count
