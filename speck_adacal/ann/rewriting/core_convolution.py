"""A strided map as a convolution that a core can do: square kernel, known stride, even padding."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from speck_adacal.ann.rewriting.strided import StridedMap
from speck_adacal.chip_description import ChipLimits

Shape = tuple[int, ...]


@dataclass(frozen=True)
class _Axis:
    """Where a kernel's taps come to lie on one axis, and the convolution's settings there."""

    first: int  # the map's first tap that is kept
    taps: int
    offset: int  # zeros in the kernel before it
    stride: int
    padding: int


def core_convolution(
    found: StridedMap, in_shape: Shape, out_shape: Shape, limits: ChipLimits
) -> nn.Conv2d | None:
    """The same map as a float64 convolution within the limits of a core; None where there is none.

    Uneven padding becomes zeros in the kernel; so do kernels that are not square. Taps that meet
    no pixel are left out, and an axis with one output takes any stride.
    """
    for edge in range(1, limits.kernel_size + 1):
        vertical, horizontal = (
            _fitted(found, axis, in_shape[1 + axis], out_shape[1 + axis], edge, limits)
            for axis in (0, 1)
        )
        if vertical is not None and horizontal is not None:
            return _built(found, vertical, horizontal, edge)
    return None


def _fitted(
    found: StridedMap, axis: int, size: int, outputs: int, edge: int, limits: ChipLimits
) -> _Axis | None:
    """Settings of one axis with a kernel of `edge` taps; None where that is too few."""
    stride, before = found.stride[axis], found.before[axis]
    last = (outputs - 1) * stride
    first = max(0, before - last)
    end = min(found.weight.shape[2 + axis], size + before)
    if end <= first:  # no tap meets a pixel: all results are the bias
        first = end = 0
    for step in limits.strides if outputs == 1 else (stride,):
        if step not in limits.strides:
            continue
        for padding in range(limits.padding + 1):
            offset = padding - before + first
            reach = size + 2 * padding - edge
            fits = 0 <= offset <= edge - (end - first) and reach >= 0
            if fits and reach // step + 1 == outputs:
                return _Axis(first, end - first, offset, step, padding)
    return None


def _built(found: StridedMap, vertical: _Axis, horizontal: _Axis, edge: int) -> nn.Conv2d:
    dense = found.dense
    weight = torch.zeros((*dense.shape[:2], edge, edge), dtype=torch.float64)
    taps_y, taps_x = (slice(a.first, a.first + a.taps) for a in (vertical, horizontal))
    rows, columns = (slice(a.offset, a.offset + a.taps) for a in (vertical, horizontal))
    weight[:, :, rows, columns] = dense[:, :, taps_y, taps_x]
    biased = bool((found.bias != 0).any())
    convolution = nn.Conv2d(
        dense.shape[1],
        dense.shape[0],
        edge,
        (vertical.stride, horizontal.stride),
        (vertical.padding, horizontal.padding),
        bias=biased,
    )
    convolution.weight = nn.Parameter(weight, requires_grad=False)
    if biased:
        convolution.bias = nn.Parameter(found.bias.clone(), requires_grad=False)
    return convolution.eval()


def within_core(convolution: nn.Conv2d, limits: ChipLimits) -> bool:
    """Whether a core can do a convolution as it is."""
    (ky, kx), padding = convolution.kernel_size, convolution.padding
    return (
        not isinstance(padding, str)
        and ky == kx <= limits.kernel_size
        and set(convolution.stride) <= set(limits.strides)
        and max(padding) <= limits.padding
        and set(convolution.dilation) == {1}
    )
