"""Small modules of a layer graph that PyTorch has no module of its own for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from speck_adacal.errors import SettingsError


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


class Affine(nn.Module):
    """`y = weight · x + bias`, value by value.

    Args:
        weight: broadcasts to a sample of x.
        bias: the same.

    Shape:
        `[batch, *shape]` to the same.
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.bias = nn.Parameter(bias, requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scale and shift `x`."""
        return x * self.weight + self.bias


class EdgedConv2d(nn.Conv2d):
    """A convolution with a constant for each neuron beside its bias, zero but at the map's edge.

    A layer in front that shifts its input (normalisation, batch norm behind a rectifier) merges
    with a convolution that pads with zeros only so: at the edge fewer shifted inputs are summed.

    Args:
        edge: float `[channels, height, width]`, added to the convolution's output.
        settings: of `torch.nn.Conv2d`.

    Shape:
        `[batch, in_channels, height, width]` to the shape of `edge`.
    """

    edge: torch.Tensor

    def __init__(self, *settings: Any, edge: torch.Tensor, **named: Any) -> None:
        super().__init__(*settings, **named)
        self.register_buffer("edge", edge)

    @classmethod
    def of(cls, plain: nn.Conv2d, edge: torch.Tensor) -> EdgedConv2d:
        """A convolution with an edge; its weights are shared, not copied."""
        made = cls(
            plain.in_channels,
            plain.out_channels,
            plain.kernel_size,
            plain.stride,
            plain.padding,
            plain.dilation,
            plain.groups,
            plain.bias is not None,
            edge=edge,
        )
        made.weight, made.bias = plain.weight, plain.bias
        return made.eval()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Convolve `x`, and add the edge."""
        return super().forward(x) + self.edge


class Normalised(nn.Module):
    """A network for inputs that are not normalised yet: `network((x - mean) / deviation)`.

    Args:
        network: was trained on normalised inputs.
        mean, deviation: one value a channel, or one for all.

    Raises:
        SettingsError: they differ in number, or a deviation is not above 0.
    """

    mean: torch.Tensor
    deviation: torch.Tensor

    def __init__(
        self, network: nn.Module, mean: Sequence[float], deviation: Sequence[float]
    ) -> None:
        super().__init__()
        if len(mean) != len(deviation) or not mean or not min(deviation) > 0:
            raise SettingsError(
                "Normalisation needs as many means as standard deviations, the latter above 0; "
                f"found {list(mean)} and {list(deviation)}."
            )
        self.network = network
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("deviation", torch.tensor(deviation).view(1, -1, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise `[batch, channels, height, width]`, and run the network."""
        result: torch.Tensor = self.network((x - self.mean) / self.deviation)
        return result


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
