"""Weights of a layer by ridge least squares, kept near those that it has."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

LARGEST_FAN_IN = 4608  # inputs of one output value: beyond it the normal matrix would pass 170 MB


class RidgeFit:
    """Minimises `Σ (W x + b - a)² + λ ‖W - W₀‖²` over the weights and bias of a layer.

    `λ` is `ridge` times the mean of the normal matrix' diagonal. Float64, in closed form.

    Args:
        module: a convolution or linear layer; its weights are the start, and the prior.
    """

    def __init__(self, module: Any) -> None:
        self._module = module
        weight = module.weight.detach().double()
        self._groups, self.fan_in = int(getattr(module, "groups", 1)), weight[0].numel()
        rows = weight.flatten(1).view(self._groups, -1, self.fan_in)
        bias = torch.zeros(weight.shape[0], dtype=torch.float64)
        if module.bias is not None:
            bias = module.bias.detach().double()
        self._bias, self._outputs = bias, rows.shape[1]
        self._fit = torch.cat((rows.transpose(1, 2), bias.view(self._groups, 1, -1)), 1)
        size = self.fan_in + 1
        self._normal = torch.zeros(self._groups, size, size, dtype=torch.float64)
        self._moment = torch.zeros(self._groups, size, self._outputs, dtype=torch.float64)

    def add(self, inputs: torch.Tensor, wanted: torch.Tensor) -> None:
        """Take in inputs `[batch, *in]` and the values wanted for them, `[batch, *out]`."""
        if isinstance(self._module, nn.Linear):  # on the last axis
            inputs, wanted = inputs.flatten(0, -2), wanted.flatten(0, -2)
        patches = _patches(self._module, inputs, self._groups)
        residual = self._by_group(wanted) - patches @ self._fit
        self._normal += patches.transpose(1, 2) @ patches
        self._moment += patches.transpose(1, 2) @ residual

    def _by_group(self, wanted: torch.Tensor) -> torch.Tensor:
        """Values `[batch, *out]` as `[groups, samples · positions, outputs]`, in float64."""
        target = wanted.flatten(2) if wanted.ndim > 2 else wanted[..., None]
        target = target.transpose(1, 2).reshape(-1, self._groups, self._outputs)
        return target.transpose(0, 1).double()

    def solve(self, ridge: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Weights in the layer's shape, and bias; float32."""
        scale = self._normal.diagonal(dim1=1, dim2=2)[:, :-1].mean(1).clamp_min(1e-12)
        pull = torch.eye(self.fan_in + 1, dtype=torch.float64) * (ridge * scale).view(-1, 1, 1)
        change = torch.linalg.solve(self._normal + pull, self._moment)
        weight = self._module.weight.detach().double()
        weight = weight + change[:, :-1].transpose(1, 2).reshape_as(weight)
        return weight.float(), (self._bias + change[:, -1].flatten()).float()

    def error(self, ridge: float, inputs: torch.Tensor, wanted: torch.Tensor) -> float:
        """Mean squared error that the solution leaves on other samples, in the layer's units."""
        weight, bias = self.solve(ridge)
        rows = torch.cat((weight.flatten(1), bias[:, None]), 1).double()
        rows = rows.view(self._groups, self._outputs, -1).transpose(1, 2)
        found = _patches(self._module, inputs, self._groups) @ rows
        return float((found - self._by_group(wanted)).square().mean())

    def fit(self, ridge: float) -> None:
        """Put the solution into the layer."""
        weight, bias = self.solve(ridge)
        self._module.weight = nn.Parameter(weight, requires_grad=False)
        self._module.bias = nn.Parameter(bias, requires_grad=False)


def _patches(module: Any, x: torch.Tensor, groups: int) -> torch.Tensor:
    """`[groups, samples · positions, fan_in + 1]`, the inputs of each output value and a one."""
    if x.ndim == 2:
        columns = x.unsqueeze(0)
    else:
        one_d = x.ndim == 3
        settings = [getattr(module, n) for n in ("kernel_size", "dilation", "padding", "stride")]
        if one_d:
            x = x.unsqueeze(2)
            settings = [(k, *v) for k, v in zip((1, 1, 0, 1), settings, strict=True)]
        unfolded = F.unfold(x, *settings)
        unfolded = unfolded.view(x.shape[0], groups, -1, unfolded.shape[-1])
        columns = unfolded.permute(1, 0, 3, 2).reshape(groups, -1, unfolded.shape[2])
    ones = torch.ones(*columns.shape[:2], 1, dtype=torch.float64)
    return torch.cat((columns.double(), ones), 2)
