"""A row of linear operations as one convolution that a core can do, or as one linear layer."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import nn

from speck_adacal.ann.graph import Node
from speck_adacal.ann.modules import EdgedConv2d
from speck_adacal.ann.rewriting.core_convolution import core_convolution
from speck_adacal.ann.rewriting.strided import strided_map
from speck_adacal.chip_description import ChipLimits

Shape = tuple[int, ...]
Layer = TypeVar("Layer", nn.Conv2d, nn.Linear)
# Of the largest value: float64 sums in another order agree far better, wrong borders far worse.
_EXACT = 1e-9


def as_convolution(before: Shape, row: Sequence[Node], limits: ChipLimits) -> nn.Conv2d | None:
    """A row of operations on a map as one convolution; None where no core has one that is equal.

    Args:
        before: shape of what the first operation reads.
        row: one behind the other.
        limits: of a core.
    """
    found, shape = None, before
    for node in row:
        step = strided_map(node, shape)
        if step is None:
            return None
        found, shape = step if found is None else found.then(step), node.shape
    if found is None:
        return None
    merged = core_convolution(found, before, shape, limits)
    if merged is None:
        return None
    # Zeros that a convolution pads with are not shifted by what stands before it.
    nothing = torch.zeros((1, *before), dtype=torch.float64)
    with torch.no_grad():
        wanted = _run(row, nothing)
        edge = (wanted - merged(nothing))[0]
    edge[edge.abs() <= _EXACT * float(wanted.abs().max())] = 0.0  # rounding
    if bool(edge.any()):
        merged = EdgedConv2d.of(merged, edge)
    return _rounded(merged) if _equal(before, row, merged) else None


def as_linear(before: Shape, row: Sequence[Node], limits: ChipLimits) -> nn.Linear | None:
    """A row of operations with a list of features in the end as one linear layer on all inputs.

    None where the map before is larger than the kernel of a core, or there are too many features.
    """
    features = row[-1].shape[0]
    too_large = len(before) == 3 and max(before[1:]) > limits.kernel_size
    if len(row[-1].shape) != 1 or features > limits.features or too_large:
        return None
    # Off zero, where the sign in PyTorch's own sum pooling has a slope.
    inputs = torch.ones((features, *before), dtype=torch.float64, requires_grad=True)
    with torch.enable_grad():
        (gradient,) = torch.autograd.grad(_run(row, inputs).diagonal().sum(), inputs)
    bias = _run(row, torch.zeros((1, *before), dtype=torch.float64))[0].detach()
    layer = nn.Linear(inputs[0].numel(), features, bias=bool((bias != 0).any()))
    layer.weight = nn.Parameter(gradient.flatten(1), requires_grad=False)
    if layer.bias is not None:
        layer.bias = nn.Parameter(bias, requires_grad=False)
    flat = nn.Sequential(nn.Flatten(), layer)
    if not _equal(before, row, flat):
        return None
    return _rounded(layer)


def _run(row: Sequence[Node], x: torch.Tensor) -> torch.Tensor:
    for node in row:
        x = copy.deepcopy(node.module).double()(x)  # type: ignore[union-attr]
    return x


def _equal(before: Shape, row: Sequence[Node], merged: nn.Module) -> bool:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn((2, *before), generator=generator, dtype=torch.float64)
    with torch.no_grad():
        expected, found = _run(row, x), merged(x)
    same = expected.shape == found.shape
    return same and float((expected - found).abs().max()) <= _EXACT * float(expected.abs().max())


def _rounded(layer: Layer) -> Layer:
    return layer.float().eval().requires_grad_(False)
