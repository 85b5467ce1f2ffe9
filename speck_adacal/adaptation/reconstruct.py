"""Advanced calibration: weights that give the ANN's values for the spiking inputs."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from speck_adacal.adaptation.side_by_side import SideBySide
from speck_adacal.ann.graph import Node

_LARGEST = 4608  # inputs of one output value: beyond it the normal matrix would pass 170 MB
_STEPS = 300  # of Adam, where there is no closed form
_RATE = 0.02  # learning rate as a part of the weights' standard deviation


def reconstruct_weights(reference: Node, node: Node, pair: SideBySide, ridge: float) -> bool:
    """Least squares for the weights and bias of `node`, in place, kept near the old ones.

    Minimises `Σ (W s̄ + b - a)² + λ ‖W - W₀‖²`, where `s̄` is the mean over time of the layer's
    spiking input, `a` the ANN's value, and `λ` is `ridge` times the mean of the normal matrix'
    diagonal. Closed form in float64, or steps of Adam where a value has more than 4608 inputs.

    Returns:
        False where Adam's steps did not bring the outputs nearer, and the layer was left alone.
    """
    module: Any = node.module
    weight = module.weight.detach().double()
    groups = int(getattr(module, "groups", 1))
    fan_in = weight[0].numel()
    if fan_in > _LARGEST:
        return _by_steps(reference, node, pair, ridge)
    rows = weight.flatten(1).view(groups, -1, fan_in)
    old_bias = module.bias
    bias = torch.zeros(weight.shape[0], dtype=torch.float64)
    if old_bias is not None:
        bias = old_bias.detach().double()
    normal = torch.zeros(groups, fan_in + 1, fan_in + 1, dtype=torch.float64)
    moment = torch.zeros(groups, fan_in + 1, rows.shape[1], dtype=torch.float64)
    for ann, snn in zip(pair.ann, pair.snn, strict=True):
        mean = snn[node.inputs[0]][0].mean(1)
        patches = _patches(module, mean, groups)
        target = ann[reference.name].flatten(2) if mean.ndim > 2 else ann[reference.name][..., None]
        target = target.transpose(1, 2).reshape(-1, groups, rows.shape[1]).transpose(0, 1).double()
        fit = torch.cat((rows.transpose(1, 2), bias.view(groups, 1, -1)), 1)
        residual = target - patches @ fit
        normal += patches.transpose(1, 2) @ patches
        moment += patches.transpose(1, 2) @ residual
    scale = normal.diagonal(dim1=1, dim2=2)[:, :-1].mean(1).clamp_min(1e-12)
    normal += torch.eye(fan_in + 1, dtype=torch.float64) * (ridge * scale).view(-1, 1, 1)
    change = torch.linalg.solve(normal, moment)
    weight = weight + change[:, :-1].transpose(1, 2).reshape_as(weight)
    module.weight = nn.Parameter(weight.float(), requires_grad=False)
    bias = bias + change[:, -1].flatten()
    module.bias = nn.Parameter(bias.float(), requires_grad=False)
    return True


def _by_steps(reference: Node, node: Node, pair: SideBySide, ridge: float) -> bool:
    """The same problem by a few hundred steps of Adam, batch by batch."""
    module: Any = node.module
    inputs = [
        (snn[node.inputs[0]][0].mean(1), ann[reference.name])
        for ann, snn in zip(pair.ann, pair.snn, strict=True)
    ]
    old = module.weight.detach().clone()
    old_bias = None if module.bias is None else module.bias.detach().clone()
    size = float(torch.stack([x.square().mean() for x, _ in inputs]).mean())

    def loss(index: int) -> torch.Tensor:
        x, wanted = inputs[index]
        pull = ridge * size * (module.weight - old).square().sum() / len(old)
        return (module(x) - wanted).square().mean() + pull

    before = sum(float(loss(i).detach()) for i in range(len(inputs)))
    with torch.enable_grad():
        module.weight = nn.Parameter(old.clone())
        module.bias = nn.Parameter(torch.zeros(len(old)) if old_bias is None else old_bias.clone())
        rate = _RATE * float(old.std())
        optimizer = torch.optim.Adam([module.weight, module.bias], lr=rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, _STEPS)
        for step in range(_STEPS):
            optimizer.zero_grad()
            loss(step % len(inputs)).backward()
            optimizer.step()
            schedule.step()
    after = sum(float(loss(i).detach()) for i in range(len(inputs)))
    better = after < before
    weight, bias = (module.weight, module.bias) if better else (old, old_bias)
    module.weight = nn.Parameter(weight.detach(), requires_grad=False)
    module.bias = None if bias is None else nn.Parameter(bias.detach(), requires_grad=False)
    return better


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
