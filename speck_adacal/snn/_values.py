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


def on_axis(values: torch.Tensor, axes: int, axis: int) -> torch.Tensor:
    """`[..., channels]` with ones behind (and before) it, so that channels lie on one of `axes`.

    Where they are the first axis nothing changes: `broadcastable` knows that form.
    """
    if axis == 0:
        return values
    ones = (1,) * axis, (1,) * (axes - 1 - axis)
    return values.reshape(*values.shape[:-1], *ones[0], values.shape[-1], *ones[1])


def by_channel(values: torch.Tensor, axis: int = 0) -> torch.Tensor:
    """`[batch, *shape]` as `[batch, channels, places]`, channels being axis `axis` of shape."""
    first = values.movedim(1 + axis, 1)
    return first.flatten(2) if first.ndim > 2 else first.unsqueeze(2)


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
