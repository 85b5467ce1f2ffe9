"""One time step of burst firing as an autograd function."""

from __future__ import annotations

from typing import Any

import torch


class BurstCount(torch.autograd.Function):
    """`k = clip(floor(u / θ), 0, φ)`; backwards as if there were no floor (straight through)."""

    @staticmethod
    def forward(
        ctx: Any, potential: torch.Tensor, theta: torch.Tensor, phi: torch.Tensor
    ) -> torch.Tensor:
        """Spikes of one step, as floats."""
        ratio = potential / theta
        ctx.save_for_backward(ratio, theta, phi)
        return torch.minimum(torch.floor(ratio).clamp_min(0), phi.to(ratio.dtype))

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[torch.Tensor, None, None]:
        """Gradient `1/θ` where the count is not clipped, else 0."""
        ratio, theta, phi = ctx.saved_tensors
        inside = (ratio > 0) & (ratio < phi + 1)
        return grads[0] * inside / theta, None, None
