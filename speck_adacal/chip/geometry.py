"""Weights and geometry of single layers as the chip has them: kernels, strides, paddings, pools."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from torch import nn

from speck_adacal.ann.graph import Node
from speck_adacal.errors import ModelError

Floats = npt.NDArray[np.float64]


def linear_kernel(
    node: Node, module: nn.Linear, shape: tuple[int, int, int]
) -> tuple[Floats, tuple[int, int], tuple[int, int]]:
    """A linear layer as a convolution over the whole map: kernel, stride, padding."""
    channels, height, width = shape
    if module.in_features != channels * height * width:
        raise ModelError(
            f"{place(node)} expects {module.in_features} inputs but the map before it is "
            f"{channels}×{height}×{width}; check input_shape."
        )
    weight = module.weight.detach().double().numpy()
    return weight.reshape(-1, channels, height, width), (1, 1), (0, 0)


def conv_kernel(node: Node, module: nn.Conv2d) -> tuple[Floats, tuple[int, int], tuple[int, int]]:
    """Kernel, stride and padding of a convolution."""
    if isinstance(module.padding, str) or module.padding_mode != "zeros":
        raise ModelError(
            f"{place(node)} uses padding {module.padding!r} ({module.padding_mode}); "
            "the chip pads with zeros by a whole number of pixels."
        )
    if set(module.dilation) != {1}:
        raise ModelError(
            f"{place(node)} uses dilation {module.dilation}; the chip has none: use dilation 1."
        )
    return (
        _ungrouped(module),
        _pair(module.stride),
        _pair(module.padding),
    )


def _ungrouped(module: nn.Conv2d) -> Floats:
    """A grouped convolution as a full one: the chip has no groups, zeros take their place."""
    weight = module.weight.detach().double().numpy()
    if module.groups == 1:
        return weight
    full = np.zeros((module.out_channels, module.in_channels, *weight.shape[2:]))
    ins, outs = module.in_channels // module.groups, module.out_channels // module.groups
    for group in range(module.groups):
        rows, columns = (slice(group * n, (group + 1) * n) for n in (outs, ins))
        full[rows, columns] = weight[rows]
    return full


def conv_shape(
    node: Node,
    in_shape: tuple[int, int, int],
    kernel_shape: tuple[int, ...],
    stride: tuple[int, int],
    padding: tuple[int, int],
) -> tuple[int, int, int]:
    """Shape of a convolution's output map."""
    if kernel_shape[1] != in_shape[0]:
        raise ModelError(
            f"{place(node)} expects {kernel_shape[1]} channels but gets {in_shape[0]}; "
            "check input_shape."
        )
    height, width = (
        (in_shape[1 + axis] + 2 * padding[axis] - kernel_shape[2 + axis]) // stride[axis] + 1
        for axis in (0, 1)
    )
    return (kernel_shape[0], height, width)


def pool_edge(node: Node) -> int:
    """Edge of the square tiles that a layer pools."""
    module = node.module
    size, stride, padding = (
        getattr(module, key, default)
        for key, default in (("kernel_size", 1), ("stride", None), ("padding", 0))
    )
    edges = {*_pair(size), *_pair(size if stride is None else stride)}
    norm = getattr(module, "norm_type", 1)
    if len(edges) != 1 or set(_pair(padding)) != {0} or norm != 1:
        raise ModelError(
            f"{place(node)} pools with size {size}, stride {stride}, padding {padding}; the chip "
            "pools square tiles without overlap or padding, so make size and stride equal."
        )
    if getattr(module, "divisor_override", None):
        raise ModelError(
            f"{place(node)} divides by {module.divisor_override}, the chip's pools by their size; "  # type: ignore[union-attr]
            "leave divisor_override out, or merge it into the next layer (merge_linear_maps)."
        )
    return int(edges.pop())


def _pair(value: object) -> tuple[int, int]:
    if isinstance(value, (tuple, list)):
        return (int(value[0]), int(value[-1]))
    return (int(value), int(value))  # type: ignore[call-overload]


def place(node: Node) -> str:
    """A node by name, and where it stands in the source."""
    return f"{node.name!r} ({node.source})" if node.source else f"{node.name!r}"
