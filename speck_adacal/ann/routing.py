"""Modules that move values, or mean them, without weights: layouts, joins, resampling."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

Shape = tuple[int, ...]


class Layout(nn.Module):
    """The same values in another order: any chain of reshapes, transposes, slices and expansions.

    Args:
        shape: of the result.
        strides: distance in the flattened input from one place of each axis to the next.
        offset: where the first value stands in the flattened input.

    Shape:
        `[batch, *any]` to `[batch, *shape]`.
    """

    def __init__(self, shape: Shape, strides: Shape, offset: int = 0) -> None:
        super().__init__()
        self.shape, self.strides, self.offset = tuple(shape), tuple(strides), offset

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """A view of `x`."""
        x = x.contiguous()
        size, start = math.prod(x.shape[1:]), x.storage_offset() + self.offset
        return x.as_strided((len(x), *self.shape), (size, *self.strides), start)

    def extra_repr(self) -> str:
        """Shape and strides, for `repr`."""
        return f"shape={self.shape}, strides={self.strides}, offset={self.offset}"


class Gather(nn.Module):
    """Values picked one by one, where no strides can say it (shuffles, flips, edges repeated).

    Args:
        index: int64 `[*shape]`, places in the flattened input.

    Shape:
        `[batch, *any]` to `[batch, *shape]`.
    """

    index: torch.Tensor

    def __init__(self, index: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("index", index.long())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Pick from `x`."""
        picked: torch.Tensor = x.flatten(1)[:, self.index.flatten()]
        return picked.view(len(x), *self.index.shape)


class Join(nn.Module):
    """Concatenation of its inputs along any axis.

    Args:
        dim: the axis, the batch being axis 0.
        new: along a new axis (`torch.stack`).
    """

    def __init__(self, dim: int, new: bool = False) -> None:
        super().__init__()
        self.dim, self.new = dim, new

    def forward(self, *xs: torch.Tensor) -> torch.Tensor:
        """Join `xs`."""
        return torch.stack(xs, self.dim) if self.new else torch.cat(xs, self.dim)


class BroadcastSum(nn.Module):
    """`x + y` of shapes that broadcast."""

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Add."""
        return x + y


class Difference(nn.Module):
    """`x - y`; shapes broadcast."""

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Subtract."""
        return x - y


class MeanOver(nn.Module):
    """Mean (or sum) over axes.

    Args:
        dims: the axes, the batch being axis 0.
        keep: keep them with one place each.
        summed: the sum instead.
    """

    def __init__(self, dims: Sequence[int], keep: bool = False, summed: bool = False) -> None:
        super().__init__()
        self.dims, self.keep, self.summed = tuple(dims), keep, summed

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Average `x`."""
        return x.sum(self.dims, self.keep) if self.summed else x.mean(self.dims, self.keep)


class MaxOver(nn.Module):
    """The largest value over axes (over all points of a cloud, say).

    Args:
        dims: the axes, the batch being axis 0.
        keep: keep them with one place each.
    """

    def __init__(self, dims: Sequence[int], keep: bool = False) -> None:
        super().__init__()
        self.dims, self.keep = tuple(dims), keep

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The maximum."""
        return x.amax(self.dims, self.keep)


class Resample(nn.Module):
    """Maps of another size: nearest or linear (bilinear) interpolation, as `F.interpolate` does it.

    Args:
        size: of the map, one number an axis.
        mode: "nearest", "nearest-exact", "linear" or "bilinear".
        align_corners: of linear modes, whether corners stay where they are.
        scale: factors where the network gives such, which set the places that are read.
    """

    def __init__(
        self,
        size: Shape,
        mode: str,
        align_corners: bool | None = None,
        scale: tuple[float, ...] | None = None,
    ) -> None:
        super().__init__()
        self.size, self.mode, self.align_corners = tuple(size), mode, align_corners
        self.scale = None if scale is None else tuple(scale)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Resample `[batch, channels, *map]`."""
        if self.scale is None:
            return F.interpolate(x, self.size, mode=self.mode, align_corners=self.align_corners)
        return F.interpolate(
            x, scale_factor=self.scale, mode=self.mode, align_corners=self.align_corners
        )

    def reach(self, x: torch.Tensor) -> torch.Tensor:
        """Like `forward`, with 1 for each place that is read: what spikes are copied to."""
        found: Any = x
        for axis, size in enumerate(x.shape[2:]):
            found = torch.movedim(found, 2 + axis, -1) @ self._read(axis, size).T.to(x)
            found = torch.movedim(found, -1, 2 + axis)
        result: torch.Tensor = found
        return result

    def _read(self, axis: int, size: int) -> torch.Tensor:
        """Which places of an axis each new place reads, `[new, old]` of 0 and 1."""
        scale = None if self.scale is None else self.scale[axis]
        mode = "linear" if self.mode == "bilinear" else self.mode
        new = F.interpolate(
            torch.eye(size)[None],
            None if scale else self.size[axis],
            scale,
            mode,
            self.align_corners,
        )
        return (new[0].T > 0).float()
