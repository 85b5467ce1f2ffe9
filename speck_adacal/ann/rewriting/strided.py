"""Linear maps between neurons in one form, a strided sum over windows, and how two become one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from sinabs import layers as sl
from torch import nn

from speck_adacal.ann.graph import Node
from speck_adacal.ann.modules import Pad, Scale, Subsample

Pair = tuple[int, int]


@dataclass(frozen=True, eq=False)
class StridedMap:
    """`y[o, p] = bias[o] + Σ weight[o, i, u] · x[i, stride·p + u - before]`, x zero off its map.

    Attributes:
        weight: float64 `[out, in, ky, kx]`, or `[channels, 1, ky, kx]` where it is depthwise.
        bias: float64 `[out]`.
        stride: `(y, x)`.
        before: `(y, x)`, zeros before the map; negative where its first rows are left out.
        depthwise: whether each channel is mapped by itself.
    """

    weight: torch.Tensor
    bias: torch.Tensor
    stride: Pair
    before: Pair
    depthwise: bool

    @property
    def dense(self) -> torch.Tensor:
        """Weights `[out, in, ky, kx]`, zeros between the channels of a depthwise map."""
        if not self.depthwise:
            return self.weight
        return torch.eye(len(self.weight), dtype=torch.float64)[:, :, None, None] * self.weight

    def then(self, second: StridedMap) -> StridedMap:
        """This map and `second` behind it as one.

        Exact wherever `second` reads nothing but this map's own results: zeros that it pads with
        stand for what this map would give further out (its bias, and windows half off the map).
        """
        (ky, kx), (sy, sx) = self.weight.shape[2:], self.stride
        ny, nx = second.weight.shape[2:]
        size = (ky + (ny - 1) * sy, kx + (nx - 1) * sx)
        channels = self.weight.shape[1] if second.depthwise else second.weight.shape[1]
        inputs = channels if self.depthwise or second.depthwise else self.weight.shape[1]
        weight = torch.zeros((len(second.weight), inputs, *size), dtype=torch.float64)
        for y in range(ny):
            for x in range(nx):
                rows, columns = slice(y * sy, y * sy + ky), slice(x * sx, x * sx + kx)
                weight[:, :, rows, columns] += self._under(second, second.weight[:, :, y, x])
        taps = second.weight.sum((2, 3))
        carried = taps[:, 0] * self.bias if second.depthwise else taps @ self.bias
        return StridedMap(
            weight,
            second.bias + carried,
            (sy * second.stride[0], sx * second.stride[1]),
            (self.before[0] + second.before[0] * sy, self.before[1] + second.before[1] * sx),
            self.depthwise and second.depthwise,
        )

    def _under(self, second: StridedMap, tap: torch.Tensor) -> torch.Tensor:
        """This map's weights as one tap of `second` sees them."""
        if second.depthwise:
            return tap[:, :, None, None] * self.weight
        if self.depthwise:
            return tap[:, :, None, None] * self.weight.permute(1, 0, 2, 3)
        return torch.einsum("oc,cikl->oikl", tap, self.weight)


def strided_map(node: Node, in_shape: Sequence[int]) -> StridedMap | None:
    """A node in this form; None where it has none (a channel is cut off, or no map goes in)."""
    module: Any = node.module
    if len(in_shape) != 3 or len(node.shape) != 3:
        return None
    if isinstance(module, nn.Conv2d):
        return _convolution(module)
    if isinstance(module, nn.AvgPool2d | sl.SumPool2d):
        return _pool(module, in_shape[0])
    if isinstance(module, Scale):
        gain, shift = module.weight.detach().double(), module.bias.detach().double()
        return _depthwise(gain.reshape(-1, 1, 1), in_shape[0], bias=shift)
    if isinstance(module, Pad) and not any(module.padding[4:]):
        (left, _, top, _) = (*module.padding, 0, 0, 0, 0)[:4]
        return _depthwise(torch.ones(1, 1, 1), in_shape[0], before=(top, left))
    if isinstance(module, Subsample) and module.slices[0] == (0, in_shape[0], 1):
        (top, _, sy), (left, _, sx) = module.slices[1:]
        one = torch.ones(1, 1, 1)
        return _depthwise(one, in_shape[0], stride=(sy, sx), before=(-top, -left))
    return None


def _depthwise(
    window: torch.Tensor,
    channels: int,
    *,
    stride: Pair = (1, 1),
    before: Pair = (0, 0),
    bias: torch.Tensor | None = None,
) -> StridedMap:
    weight = window.double().expand(channels, *window.shape[-2:]).clone()[:, None]
    shift = torch.zeros(channels, dtype=torch.float64) if bias is None else bias.expand(channels)
    return StridedMap(weight, shift, stride, before, True)


def _pool(module: Any, channels: int) -> StridedMap | None:
    size = pair(module.kernel_size)
    stride = size if module.stride is None else pair(module.stride)
    if isinstance(module, nn.AvgPool2d):
        share = 1 / (module.divisor_override or size[0] * size[1])
        return _depthwise(
            torch.full((1, *size), share, dtype=torch.float64),
            channels,
            stride=stride,
            before=pair(module.padding),
        )
    if module.norm_type != 1:
        return None
    return _depthwise(torch.ones(1, *size), channels, stride=stride)


def _convolution(module: nn.Conv2d) -> StridedMap | None:
    if isinstance(module.padding, str) or module.padding_mode != "zeros":
        return None
    (dy, dx), weight = module.dilation, module.weight.detach().double()
    outs, ins = weight.shape[0] // module.groups, weight.shape[1]
    spread = torch.zeros(
        (
            module.out_channels,
            module.in_channels,
            (weight.shape[2] - 1) * dy + 1,
            (weight.shape[3] - 1) * dx + 1,
        ),
        dtype=torch.float64,
    )
    for group in range(module.groups):
        rows, columns = (slice(group * n, (group + 1) * n) for n in (outs, ins))
        spread[rows, columns, ::dy, ::dx] = weight[rows]
    zero = torch.zeros(module.out_channels, dtype=torch.float64)
    bias = zero if module.bias is None else module.bias.detach().double()
    return StridedMap(spread, bias, pair(module.stride), pair(module.padding), False)


def pair(value: Any) -> Pair:
    """`(y, x)` of a setting that may be one number for both."""
    if isinstance(value, tuple | list):
        return (int(value[0]), int(value[-1]))
    return (int(value), int(value))
