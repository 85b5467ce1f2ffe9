"""Advanced calibration: weights that give the ANN's values for the spiking inputs."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from speck_adacal.adaptation.both_networks import SideBySide
from speck_adacal.ann.graph import Node
from speck_adacal.rewriting.least_squares import LARGEST_FAN_IN, RidgeFit

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
    if module.weight[0].numel() > LARGEST_FAN_IN:
        return _by_steps(reference, node, pair, ridge)
    fit = RidgeFit(module)
    for ann, snn in zip(pair.ann, pair.snn, strict=True):
        fit.add(snn[node.inputs[0]][0].mean(1), ann[reference.name])
    fit.fit(ridge)
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
        total: torch.Tensor = (module(x) - wanted).square().mean() + pull
        return total

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
