"""Thresholds, potentials and layouts of a layer's neurons."""

from __future__ import annotations

import torch
from torch import nn

from speck_adacal.errors import SettingsError

Values = float | torch.Tensor


def constant(value: Values) -> nn.Parameter:
    tensor = torch.as_tensor(value).detach().clone()
    if tensor.is_floating_point() and tensor.ndim:
        tensor = tensor.float()
    return nn.Parameter(tensor, requires_grad=False)


def broadcastable(value: torch.Tensor, parts: int) -> torch.Tensor:
    """`[channels]` as `[1, channels, 1, 1]`; anything else with a batch axis in front."""
    if value.ndim == 0:
        return value
    if value.ndim == 1 and parts > 1:
        return value.view(1, -1, *(1,) * (parts - 1))
    return value.unsqueeze(0)


def check_settings(threshold: Values, phi: int, rho: float) -> None:
    if int(phi) < 1:
        raise SettingsError(f"AdaFire phi must be a whole number of at least 1, found {phi!r}.")
    if not float(rho) > 0:
        raise SettingsError(f"AdaFire rho must be above 0, found {rho!r}.")
    values = torch.as_tensor(threshold)
    if values.numel() == 0 or not bool(((values > 0) & torch.isfinite(values)).all()):
        raise SettingsError(
            f"AdaFire spike_threshold must be finite and above 0, found {values.min().item():g}; "
            "a layer that never fires in calibration is dead: prune it, or set any threshold."
        )
