"""Layers with weights and pools, rebuilt as plain PyTorch modules with copied parameters."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from sinabs import layers as sl
from torch import nn
from torch.nn import functional as F

from speck_adacal.ann import modules as m
from speck_adacal.ann.graph import Kind
from speck_adacal.errors import ModelError

Steps = list[tuple[Kind, nn.Module]]


class LayerRefusedError(ModelError):
    """Settings of a layer that have no spiking counterpart; the text says which."""


def from_module(module: nn.Module | None, x: torch.Tensor) -> Steps:
    """The node(s) of a layer called on `x`."""
    if isinstance(module, nn.modules.batchnorm._BatchNorm):
        return _batch_norm(module)
    if isinstance(module, nn.Linear):
        return linear(x, module.weight, module.bias)
    if isinstance(module, nn.Conv1d | nn.Conv2d):
        if module.padding_mode != "zeros":
            raise LayerRefusedError(f"its padding mode is {module.padding_mode!r}; 'zeros' is")
        return convolution(
            x,
            module.weight,
            module.bias,
            module.stride,
            module.padding,
            module.dilation,
            module.groups,
        )
    if isinstance(module, sl.SumPool2d):
        return [(Kind.SUM_POOL, _sum_pool(module))]
    return _pool_module(module, x)


def _pool_module(module: nn.Module | None, x: torch.Tensor) -> Steps:
    if isinstance(module, nn.AvgPool1d):
        return _average(
            nn.AvgPool1d(
                module.kernel_size,
                module.stride,
                module.padding,
                module.ceil_mode,
                module.count_include_pad,
            )
        )
    if isinstance(module, nn.AvgPool2d):
        return _average(
            nn.AvgPool2d(
                module.kernel_size,
                module.stride,
                module.padding,
                module.ceil_mode,
                module.count_include_pad,
                module.divisor_override,
            )
        )
    if isinstance(module, nn.MaxPool1d | nn.MaxPool2d):
        if module.return_indices:
            raise LayerRefusedError("it returns indices")
        kind: Any = nn.MaxPool1d if isinstance(module, nn.MaxPool1d) else nn.MaxPool2d
        pool = kind(
            module.kernel_size,
            module.stride,
            module.padding,
            module.dilation,
            ceil_mode=module.ceil_mode,
        )
        return [(Kind.MAX_POOL, pool)]
    if isinstance(module, nn.AdaptiveAvgPool1d | nn.AdaptiveAvgPool2d):
        return adaptive(x, module.output_size, average=True)
    if isinstance(module, nn.AdaptiveMaxPool1d | nn.AdaptiveMaxPool2d):
        if module.return_indices:
            raise LayerRefusedError("it returns indices")
        return adaptive(x, module.output_size, average=False)
    raise LayerRefusedError(f"{type(module).__name__} has no counterpart")


def _average(pool: nn.Module) -> Steps:
    return [(Kind.AVG_POOL, pool)]


def _sum_pool(module: nn.Module) -> nn.Module:
    pool: nn.Module = sl.SumPool2d(module.kernel_size, module.stride, module.ceil_mode)
    return pool


def _batch_norm(module: nn.modules.batchnorm._BatchNorm) -> Steps:
    if module.running_mean is None or module.running_var is None:
        raise LayerRefusedError("it keeps no running statistics (track_running_stats=False)")
    mean, variance = module.running_mean.double(), module.running_var.double()
    gain = 1.0 / torch.sqrt(variance + module.eps)
    if module.weight is not None:
        gain = gain * module.weight.detach().double()
    shift = -mean * gain
    if module.bias is not None:
        shift = shift + module.bias.detach().double()
    return [(Kind.SCALE, m.Scale(gain, shift))]


def linear(input: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> Steps:
    """A fully connected layer on `[batch, features]`."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias is not None)
    return [(Kind.LINEAR, with_parameters(layer, weight, bias))]


def convolution(
    input: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Steps:
    """A 1-D or 2-D convolution; uneven "same" padding becomes a padding node."""
    axes = weight.ndim - 2
    stride, dilation = _tuple(stride, axes), _tuple(dilation, axes)
    steps: Steps = []
    if padding == "same":
        total = [d * (k - 1) for d, k in zip(dilation, weight.shape[2:], strict=True)]
        padding = tuple(t // 2 for t in total)
        if any(t % 2 for t in total):
            both = [p for t in reversed(total) for p in (t // 2, t - t // 2)]
            steps.append((Kind.PAD, m.Pad(tuple(both))))
            padding = (0,) * axes
    elif padding == "valid":
        padding = (0,) * axes
    kind: Any = nn.Conv1d if axes == 1 else nn.Conv2d
    layer = kind(
        weight.shape[1] * groups,
        weight.shape[0],
        tuple(weight.shape[2:]),
        stride,
        _tuple(padding, axes),
        dilation,
        groups,
        bias is not None,
    )
    return [*steps, (Kind.CONV, with_parameters(layer, weight, bias))]


def as_linear(module: Any) -> tuple[Kind, nn.Module]:
    """A convolution of a map of one pixel, to one pixel, as a linear layer over its channels.

    Raises:
        LayerRefusedError: its output has more pixels than one.
    """
    weight = module.weight
    for k, d, p, s in zip(
        module.kernel_size, module.dilation, module.padding, module.stride, strict=True
    ):
        if (2 * p - d * (k - 1)) // s:
            raise LayerRefusedError("it makes a larger map out of a list of features")
        # The one tap of an axis that meets the pixel; none where the padding hides it.
        meets = p % d == 0 and p // d < k
        weight = weight[:, :, p // d] if meets else 0 * weight[:, :, 0]
    groups, outs = module.groups, module.out_channels // module.groups
    rows = [weight[g * outs : (g + 1) * outs] for g in range(groups)]
    return linear(torch.zeros(1, module.in_channels), torch.block_diag(*rows), module.bias)[0]


def with_parameters(layer: Any, weight: torch.Tensor, bias: torch.Tensor | None) -> nn.Module:
    """The layer with copies of a weight and a bias."""
    layer.weight = nn.Parameter(weight.detach().clone().float(), requires_grad=False)
    if bias is not None:
        layer.bias = nn.Parameter(bias.detach().clone().float(), requires_grad=False)
    changed: nn.Module = layer.eval()
    return changed


def _tuple(value: Any, axes: int) -> tuple[int, ...]:
    return (int(value),) * axes if isinstance(value, int) else tuple(int(v) for v in value)


def global_average(x: torch.Tensor) -> tuple[Kind, nn.Module]:
    """Average over all spatial axes."""
    return adaptive(x, 1, average=True)[0]


def adaptive(x: torch.Tensor, output_size: Any, *, average: bool) -> Steps:
    """Adaptive pooling as a pool with a fixed window, where all its windows are alike."""
    sizes = tuple(x.shape[2:])
    wanted = (output_size,) * len(sizes) if isinstance(output_size, int) else tuple(output_size)
    wanted = tuple(size if n is None else n for n, size in zip(wanted, sizes, strict=True))
    found = [_even_windows(size, n) for size, n in zip(sizes, wanted, strict=True)]
    windows = [each for each in found if each is not None]
    if len(windows) != len(found):
        allowed = "sizes that divide evenly, or into windows all alike, are"
        raise LayerRefusedError(f"it pools {sizes} to {wanted}; {allowed}")
    window, stride = (tuple(each[part] for each in windows) for part in (0, 1))
    if math.prod(window) == 1:
        return []
    kind = Kind.AVG_POOL if average else Kind.MAX_POOL
    one: Any
    two: Any
    one, two = (nn.AvgPool1d, nn.AvgPool2d) if average else (nn.MaxPool1d, nn.MaxPool2d)
    pool: nn.Module
    pool = one(window[0], stride[0]) if len(window) == 1 else two(window, stride)
    return [(kind, pool)]


def _even_windows(size: int, wanted: int) -> tuple[int, int] | None:
    """Window and stride of adaptive pooling along one axis; None where windows differ, or their
    distances do."""
    starts = [i * size // wanted for i in range(wanted)]
    ends = [-(-(i + 1) * size // wanted) for i in range(wanted)]
    lengths = {end - start for start, end in zip(starts, ends, strict=True)}
    steps = {after - before for before, after in pairwise(starts)} or {*lengths}
    if len(lengths) > 1 or len(steps) > 1 or min(steps) < 1:
        return None
    return lengths.pop(), steps.pop()


def from_function(name: str, **arguments: Any) -> Steps:
    """The node(s) of a functional form, by the function's name and its arguments' values."""
    layer: dict[str, Callable[..., Steps]] = {
        "conv1d": convolution,
        "conv2d": convolution,
        "linear": linear,
        "batch_norm": _functional_batch_norm,
    }
    if name in layer:
        return layer[name](**arguments)
    x = arguments.pop("input")
    if arguments.pop("return_indices", False):
        raise LayerRefusedError("it returns indices")
    if name.startswith("adaptive"):
        return adaptive(x, arguments["output_size"], average="avg" in name)
    pools: dict[str, tuple[type[nn.Module], Kind]] = {
        "avg_pool1d": (nn.AvgPool1d, Kind.AVG_POOL),
        "avg_pool2d": (nn.AvgPool2d, Kind.AVG_POOL),
        "max_pool1d": (nn.MaxPool1d, Kind.MAX_POOL),
        "max_pool2d": (nn.MaxPool2d, Kind.MAX_POOL),
    }
    pool, kind = pools[name]
    return [(kind, pool(**arguments))]


def _functional_batch_norm(
    input: torch.Tensor,
    running_mean: torch.Tensor | None,
    running_var: torch.Tensor | None,
    weight: torch.Tensor | None = None,
    bias: torch.Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Steps:
    if training or running_mean is None or running_var is None:
        raise LayerRefusedError("it normalises by the batch; running statistics are needed")
    layer = nn.BatchNorm1d(len(running_mean), eps=eps)
    layer.running_mean, layer.running_var = running_mean, running_var
    layer.weight = nn.Parameter(
        torch.ones_like(running_mean) if weight is None else weight.detach()
    )
    layer.bias = nn.Parameter(torch.zeros_like(running_mean) if bias is None else bias.detach())
    return _batch_norm(layer)


MODULES: tuple[type[nn.Module], ...] = (
    nn.modules.batchnorm._BatchNorm,
    nn.Linear,
    nn.Conv1d,
    nn.Conv2d,
    sl.SumPool2d,
    nn.AvgPool1d,
    nn.AvgPool2d,
    nn.MaxPool1d,
    nn.MaxPool2d,
    nn.AdaptiveAvgPool1d,
    nn.AdaptiveAvgPool2d,
    nn.AdaptiveMaxPool1d,
    nn.AdaptiveMaxPool2d,
)


def functions() -> tuple[Callable[..., Any], ...]:
    """The functional forms that `from_function` knows."""
    plain = ("conv1d", "conv2d", "linear", "batch_norm")
    pools = tuple(f"{n}_pool{d}d" for n in ("avg", "max") for d in (1, 2))
    adaptive_names = [f"adaptive_{n}_pool{d}d" for n in ("avg", "max") for d in (1, 2)]
    return tuple(getattr(F, name) for name in (*plain, *pools, *adaptive_names))
