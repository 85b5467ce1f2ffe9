"""Layers of the same geometry with other weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from speck_adacal.ann.modules import EdgedConv2d


def layer_like(module: Any, weight: torch.Tensor, bias: torch.Tensor | None) -> nn.Module:
    """A convolution or linear layer of the same geometry with other (ungrouped) weights."""
    if isinstance(module, nn.Conv2d):
        return convolution_like(module, weight, bias)
    new = nn.Linear(weight.shape[1], weight.shape[0], bias is not None)
    new.weight = nn.Parameter(weight.float(), requires_grad=False)
    if bias is not None:
        new.bias = nn.Parameter(bias.detach().clone().float(), requires_grad=False)
    return new.eval()


def convolution_like(module: Any, weight: torch.Tensor, bias: torch.Tensor | None) -> nn.Conv2d:
    """A convolution of the same geometry with other (ungrouped) weights; what it adds at its map's
    edge is kept, channels behind its own get nothing there."""
    new = nn.Conv2d(
        weight.shape[1],
        weight.shape[0],
        (weight.shape[2], weight.shape[3]),
        module.stride,
        module.padding,
        module.dilation,
        bias=bias is not None,
    )
    new.weight = nn.Parameter(weight.float(), requires_grad=False)
    if bias is not None:
        new.bias = nn.Parameter(bias.detach().clone().float(), requires_grad=False)
    if isinstance(module, EdgedConv2d):
        edge = torch.zeros((len(weight), *module.edge.shape[1:]))
        edge[: len(module.edge)] = module.edge
        return EdgedConv2d.of(new, edge)
    return new.eval()


def dense_weight(module: Any) -> torch.Tensor:
    """The weights of a layer in float64, zeros between the groups of a convolution."""
    weight: torch.Tensor = module.weight.detach().double()
    if getattr(module, "groups", 1) == 1:
        return weight.clone()
    full = weight.new_zeros((module.out_channels, module.in_channels, *weight.shape[2:]))
    ins, outs = module.in_channels // module.groups, module.out_channels // module.groups
    for group in range(module.groups):
        rows = slice(group * outs, (group + 1) * outs)
        full[rows, group * ins : (group + 1) * ins] = weight[rows]
    return full
