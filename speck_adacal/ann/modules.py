"""Small modules of a layer graph that PyTorch has no module of its own for."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F


class Rectifier(nn.Module):
    """`y = min(max(x, 0), upper)`: ReLU, with a bound where the network has one (ReLU6).

    Args:
        upper: the bound in units of the activation, or `None` for none.

    Shape:
        `[batch, *shape]` to the same.
    """

    def __init__(self, upper: float | None = None) -> None:
        super().__init__()
        self.upper = upper

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Rectify `x`."""
        return F.relu(x) if self.upper is None else x.clamp(0.0, self.upper)

    def into_first(self, xs: Sequence[torch.Tensor]) -> torch.Tensor:
        """Rectify the only input where it is."""
        return xs[0].clamp_(0.0, self.upper)

    def extra_repr(self) -> str:
        """The bound, for `repr`."""
        return f"upper={self.upper}"


class Scale(nn.Module):
    """`y = weight · x + bias` with one weight and bias per channel (or one for all).

    Args:
        weight: `[channels]` or `[1]`.
        bias: the same shape as `weight`.

    Shape:
        `[batch, channels, *spatial]` to the same.
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.bias = nn.Parameter(bias, requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scale and shift the channels of `x`."""
        shape = (1, -1) + (1,) * (x.ndim - 2)
        return x * self.weight.view(shape) + self.bias.view(shape)


class Add(nn.Module):
    """Sum of its inputs, which have the same shape."""

    def forward(self, *xs: torch.Tensor) -> torch.Tensor:
        """Add up `xs`."""
        total = xs[0]
        for x in xs[1:]:
            total = total + x
        return total

    def fits_into_first(self, xs: Sequence[torch.Tensor]) -> bool:
        """Whether the sum would be a tensor just like the first, and no gradient is asked for."""
        alike = len({(x.shape, x.stride(), x.dtype) for x in xs}) == 1
        apart = len({x.data_ptr() for x in xs}) == len(xs)
        return alike and apart and not torch.is_grad_enabled()

    def into_first(self, xs: Sequence[torch.Tensor]) -> torch.Tensor:
        """Add the others to the first, in the same order as `forward`."""
        for x in xs[1:]:
            xs[0].add_(x)
        return xs[0]


class Concat(nn.Module):
    """Concatenation of its inputs along the channel axis (axis 1)."""

    def forward(self, *xs: torch.Tensor) -> torch.Tensor:
        """Concatenate `xs`."""
        return torch.cat(xs, dim=1)


class Subsample(nn.Module):
    """A slice of the channel and spatial axes, such as `x[:, :, ::2, ::2]`.

    Args:
        slices: one `(start, stop, step)` per axis after the batch.
    """

    def __init__(self, slices: tuple[tuple[int, int, int], ...]) -> None:
        super().__init__()
        self.slices = slices

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Slice `x`."""
        return x[(slice(None), *(slice(*s) for s in self.slices))]

    def extra_repr(self) -> str:
        """The slices, for `repr`."""
        return f"slices={self.slices}"


class Pad(nn.Module):
    """Zero padding.

    Args:
        padding: `(before, after)` of the last axis, then of the one before it, and so on, as in
            `torch.nn.functional.pad`; never the batch axis.
    """

    def __init__(self, padding: tuple[int, ...]) -> None:
        super().__init__()
        self.padding = padding

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Pad `x` with zeros."""
        return F.pad(x, self.padding)

    def extra_repr(self) -> str:
        """The padding, for `repr`."""
        return f"padding={self.padding}"


class StandIn(nn.Module):
    """In the place of an operation that is not supported, so that what follows can be looked at.

    Args:
        label: how messages call the operation.
        why: why it is not supported, and what to use; may be empty.
        shape: of its output, without the batch axis.

    Shape:
        Any inputs to zeros `[batch, *shape]`.
    """

    def __init__(self, label: str, why: str, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.label, self.why, self.shape = label, why, shape

    def forward(self, *xs: torch.Tensor) -> torch.Tensor:
        """Zeros."""
        return torch.zeros((len(xs[0]), *self.shape), device=xs[0].device)
