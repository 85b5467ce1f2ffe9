"""Functions of one or several values that are not linear: products, soft-max, smooth activations.

Each says how many multiplications one pass over a sample takes, as energy counts them. A soft-max,
an exponential or an error function is taken for a polynomial of degree three.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.nn import functional as F

from speck_adacal.errors import ModelError

Shape = tuple[int, ...]

_POLYNOMIAL = 4  # multiplications of a smooth function of one value, its factors included


class Function(nn.Module):
    """A function of tensors `[batch, *shape]`, each sample by itself."""

    def multiplications(self, inputs: Sequence[Shape], output: Shape) -> int:
        """Multiplications of a sample, from shapes without the batch axis."""
        raise NotImplementedError


class Product(Function):
    """`x · y`, value by value; shapes broadcast."""

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Multiply."""
        return x * y

    def multiplications(self, inputs: Sequence[Shape], output: Shape) -> int:
        """One a value."""
        return math.prod(output)


class Quotient(Function):
    """`x / y`, value by value; shapes broadcast. Where y is 0 (no spike came yet), it is 0."""

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Divide."""
        return torch.where(y == 0, torch.zeros_like(y), x / torch.where(y == 0, 1.0, y))

    def multiplications(self, inputs: Sequence[Shape], output: Shape) -> int:
        """As one a value."""
        return math.prod(output)


class MatrixProduct(Function):
    """`x @ y` over the last two axes."""

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Multiply."""
        return x @ y

    def multiplications(self, inputs: Sequence[Shape], output: Shape) -> int:
        """As many a value as x has columns."""
        return math.prod(output) * inputs[0][-1]


class Attention(Function):
    """`softmax(scale · q kᵀ) v` over the last two axes (Vaswani et al., 2017, eq. 1).

    Args:
        scale: by default `1 / sqrt(features of q)`.

    Shape:
        `[batch, ..., n, d]`, `[batch, ..., m, d]` and `[batch, ..., m, e]` to `[batch, ..., n, e]`.
    """

    def __init__(self, scale: float | None = None) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """Attend."""
        scale = q.shape[-1] ** -0.5 if self.scale is None else self.scale
        return (scale * q @ k.transpose(-2, -1)).softmax(-1) @ v

    def multiplications(self, inputs: Sequence[Shape], output: Shape) -> int:
        """Of both products, of the scale and the soft-max."""
        scores = math.prod(output[:-1]) * inputs[1][-2]
        return scores * (inputs[0][-1] + output[-1] + 2 + _POLYNOMIAL)


class Softmax(Function):
    """Soft-max along one axis.

    Args:
        dim: the axis, the batch being axis 0.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalised exponentials."""
        return x.softmax(self.dim)

    def multiplications(self, inputs: Sequence[Shape], output: Shape) -> int:
        """An exponential and a division a value."""
        return math.prod(output) * (_POLYNOMIAL + 1)


class LayerNorm(Function):
    """Normalisation over the last axes, with a factor and a shift a value (Ba et al., 2016).

    Args:
        shape: of the last axes.
        eps: added to the variance.
    """

    def __init__(self, shape: Shape, eps: float = 1e-5) -> None:
        super().__init__()
        self.shape, self.eps = tuple(shape), eps
        self.weight = nn.Parameter(torch.ones(self.shape), requires_grad=False)
        self.bias = nn.Parameter(torch.zeros(self.shape), requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise."""
        return F.layer_norm(x, self.shape, self.weight, self.bias, self.eps)

    def multiplications(self, inputs: Sequence[Shape], output: Shape) -> int:
        """A square, a division by the deviation and a factor a value."""
        return 3 * math.prod(output)


class GroupNorm(Function):
    """Normalisation of groups of channels (Wu and He, 2018); instance norm with a group each.

    Args:
        groups: number of groups.
        channels: number of channels.
        eps: added to the variance.
    """

    def __init__(self, groups: int, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.groups, self.channels, self.eps = groups, channels, eps
        self.weight = nn.Parameter(torch.ones(channels), requires_grad=False)
        self.bias = nn.Parameter(torch.zeros(channels), requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise."""
        return F.group_norm(x, self.groups, self.weight, self.bias, self.eps)

    def multiplications(self, inputs: Sequence[Shape], output: Shape) -> int:
        """As layer norm."""
        return 3 * math.prod(output)


class Largest(Function):
    """The larger of two values, `max(x, y)`; or the smaller.

    Args:
        smaller: take the smaller one.
    """

    def __init__(self, smaller: bool = False) -> None:
        super().__init__()
        self.smaller = smaller

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Compare."""
        return torch.minimum(x, y) if self.smaller else torch.maximum(x, y)

    def multiplications(self, inputs: Sequence[Shape], output: Shape) -> int:
        """None."""
        return 0


_SMOOTH: dict[str, Callable[[torch.Tensor, float], torch.Tensor]] = {
    "gelu": lambda x, _: F.gelu(x),
    "gelu_tanh": lambda x, _: F.gelu(x, approximate="tanh"),
    "silu": lambda x, _: F.silu(x),
    "mish": lambda x, _: F.mish(x),
    "sigmoid": lambda x, _: torch.sigmoid(x),
    "tanh": lambda x, _: torch.tanh(x),
    "softplus": lambda x, _: F.softplus(x),
    "elu": F.elu,
    "leaky_relu": F.leaky_relu,
    "hardsigmoid": lambda x, _: F.hardsigmoid(x),
    "hardswish": lambda x, _: F.hardswish(x),
    "exp": lambda x, _: torch.exp(x),
    "power": torch.pow,
    "abs": lambda x, _: torch.abs(x),
}


class Smooth(Function):
    """An activation of single values that is no rectifier.

    Args:
        name: which: gelu, gelu_tanh, silu, mish, sigmoid, tanh, softplus, elu, leaky_relu,
            hardsigmoid, hardswish, exp, power or abs.
        parameter: slope of leaky_relu, α of elu, exponent of power.

    Raises:
        ModelError: no such function.
    """

    def __init__(self, name: str, parameter: float = 1.0) -> None:
        super().__init__()
        if name not in _SMOOTH:
            raise ModelError(
                f"There is no function {name!r} of single values; there are {', '.join(_SMOOTH)}."
            )
        self.name, self.parameter = name, parameter

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The function of each value."""
        return _SMOOTH[self.name](x, self.parameter)

    def extra_repr(self) -> str:
        """Which, for `repr`."""
        return self.name

    def multiplications(self, inputs: Sequence[Shape], output: Shape) -> int:
        """Of a polynomial of degree three."""
        return _POLYNOMIAL * math.prod(output)
