"""Layers with weights that no core has: linear on the last axis, transposed convolutions."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from speck_adacal.ann._call import Call, RefusedError, Steps
from speck_adacal.ann._layers import with_parameters
from speck_adacal.ann.graph import Kind


def token_linear(
    input: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None
) -> Steps:
    """A linear layer on the last axis of `[batch, ..., features]`."""
    kind = Kind.LINEAR if input.ndim == 2 else Kind.TOKEN_LINEAR
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias is not None)
    return [(kind, with_parameters(layer, weight, bias))]


def transposed(call: Call) -> Steps:
    """`nn.ConvTranspose1d` and `nn.ConvTranspose2d`."""
    old: Any = call.module
    if old.padding_mode != "zeros":
        raise RefusedError(f"its padding mode is {old.padding_mode!r}; 'zeros' is")
    if call.get("output_size") is not None:
        raise RefusedError("it is called with output_size; give output_padding instead")
    kind: Any = nn.ConvTranspose1d if old.weight.ndim == 3 else nn.ConvTranspose2d
    layer = kind(
        old.in_channels,
        old.out_channels,
        old.kernel_size,
        old.stride,
        old.padding,
        old.output_padding,
        old.groups,
        old.bias is not None,
        old.dilation,
    )
    return [(Kind.TRANSPOSED, with_parameters(layer, old.weight, old.bias))]
