"""Max pooling of spike trains: the maximum of the inputs' running totals."""

from __future__ import annotations

import copy
from typing import Any

import torch
from sinabs import layers as sl
from torch import nn

from speck_adacal.errors import ModelError


class SpikingMaxPool(sl.StatefulLayer):
    """`y_t = max(Σ_{s<=t} x_s) - max(Σ_{s<t} x_s)` over each window.

    The outputs add up to the maximum of the inputs' totals at every step, so that no error is
    made however the spikes are spread over time. Totals are kept in float64.

    Args:
        pool: `nn.MaxPool1d` or `nn.MaxPool2d`.

    Shape:
        `[batch, time, channels, *spatial]` to `[batch, time, channels, *pooled]`.
    """

    def __init__(self, pool: nn.Module) -> None:
        super().__init__(state_names=["total", "peak"])
        self.total: torch.Tensor
        self.peak: torch.Tensor
        self.pool = pool
        self.reset_states()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Run all steps."""
        if x.ndim < 4:
            raise ModelError(f"SpikingMaxPool needs [batch, time, ...], found {tuple(x.shape)}.")
        if self.total.shape != x[:, 0].shape:
            self.total, self.peak = torch.zeros_like(x[:, 0], dtype=torch.float64), torch.zeros(0)
        totals = self.total.unsqueeze(1) + x.double().cumsum(1)
        peaks = self.pool(totals.flatten(0, 1)).unflatten(0, totals.shape[:2])
        first = self.peak if self.peak.numel() else torch.zeros_like(peaks[:, 0])
        before = torch.cat((first.unsqueeze(1), peaks[:, :-1]), 1)
        self.total, self.peak = totals[:, -1].detach(), peaks[:, -1].detach()
        risen: torch.Tensor = (peaks - before).to(x.dtype)
        return risen

    def reset_states(self, randomize: bool = False, value_ranges: Any = None) -> None:
        """Forget all totals."""
        self.total = torch.zeros(0, dtype=torch.float64)
        self.peak = torch.zeros(0, dtype=torch.float64)

    @property
    def _param_dict(self) -> dict[str, Any]:
        return {"pool": copy.deepcopy(self.pool)}
