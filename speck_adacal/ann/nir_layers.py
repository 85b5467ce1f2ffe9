"""The layers and neurons of NIR that have a counterpart in an ANN, one by one."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import sinabs.layers as sl
import torch
from torch import nn

from speck_adacal.errors import ModelError

NEURONS = frozenset({"IF", "LIF"})
INTEGRATORS = frozenset({"I", "LI"})  # with a potential, but without spikes
_SUPPORTED = (
    "Affine, Linear, Conv1d, Conv2d, SumPool2d, AvgPool2d, Flatten, IF, LIF without leak, and at "
    "the output I, and LI without leak"
)


def neuron_gain(name: str, node: Any) -> npt.NDArray[np.float64]:
    """`r / θ` of integrate-and-fire neurons, float64 `[channels]` or `[1]`.

    A LIF neuron integrates at `r / τ`. Exporters write one without leak with an infinite τ, and r
    either as it is or infinite too, which stands for a ratio of one a time step (τ = dt/(1 − β),
    r = τ/dt at β = 1).

    Raises:
        ModelError: the neurons leak, have a threshold that is not positive, or thresholds that
            differ within a channel.
    """
    resistance = _ratio(name, node)
    threshold, resistance = np.broadcast_arrays(_array(node.v_threshold), resistance)
    if not all(np.all(np.isfinite(v) & (v > 0)) for v in (threshold, resistance)):
        raise ModelError(
            f"The NIR node {name!r} needs a positive v_threshold and r, both finite, found "
            f"{threshold.min():g} to {threshold.max():g} and {resistance.min():g} to "
            f"{resistance.max():g}."
        )
    gain = resistance / threshold
    rows = gain.reshape(gain.shape[0] if gain.ndim else 1, -1)
    if not np.all(rows == rows[:, :1]):
        raise ModelError(
            f"The NIR node {name!r} has thresholds that differ within a channel; a core of "
            "Speck has one threshold, so give one per channel at most."
        )
    return np.ascontiguousarray(rows[:, 0])


def neuron_resistance(name: str, node: Any) -> npt.NDArray[np.float64]:
    """What neurons that keep their threshold multiply inputs by, float64 `[channels]` or `[1]`.

    Raises:
        ModelError: as `neuron_gain`; or it differs within a channel.
    """
    neuron_gain(name, node)
    threshold, resistance = np.broadcast_arrays(_array(node.v_threshold), _ratio(name, node))
    rows = resistance.reshape(threshold.shape[0] if threshold.ndim else 1, -1)
    if not np.all(rows == rows[:, :1]):
        raise ModelError(f"The NIR node {name!r} has resistances that differ within a channel.")
    return np.ascontiguousarray(rows[:1, 0] if np.ptp(rows[:, 0]) == 0 else rows[:, 0])


def integrator_gain(name: str, node: Any, *, last: bool) -> npt.NDArray[np.float64]:
    """`r` of neurons that integrate without firing, float64 `[channels]` or `[1]`.

    Raises:
        ModelError: they leak, have an r that is not positive, or do not stand at the output.
    """
    if not last:
        raise ModelError(
            f"The NIR node {name!r} is of type {type(node).__name__}, whose neurons do not fire, "
            "so that nothing behind them would hear of them on the chip; put IF in its place, or "
            "let it feed the output alone."
        )
    resistance = _ratio(name, node)
    rows = resistance.reshape(resistance.shape[0] if resistance.ndim else 1, -1)
    if not np.all(np.isfinite(rows) & (rows > 0) & (rows == rows[:, :1])):
        raise ModelError(
            f"The NIR node {name!r} needs a positive and finite r, one for each channel, found "
            f"{resistance.min():g} to {resistance.max():g}."
        )
    return np.ascontiguousarray(rows[:, 0])


def _ratio(name: str, node: Any) -> npt.NDArray[np.float64]:
    """What neurons make of a step's input: r, of neurons with an infinite τ 1 where r is infinite.

    Raises:
        ModelError: the neurons leak.
    """
    resistance = _array(node.r)
    if not hasattr(node, "tau"):
        return resistance
    tau = _array(node.tau)
    if not np.all(tau == np.inf):
        raise ModelError(
            f"The NIR node {name!r} is a leaky neuron (tau = {tau.min():g}), which has no ANN "
            "counterpart, and Speck has no such leak; use IF."
        )
    return np.where(resistance == np.inf, 1.0, resistance)


def weighted_or_pooling(name: str, node: Any) -> nn.Module:
    """The torch module of one NIR node that is no neuron.

    Raises:
        ModelError: the node's type is not supported, or its values are not usable.
    """
    kind = type(node).__name__
    if kind in ("Affine", "Linear"):
        return _linear(name, node)
    if kind in ("Conv1d", "Conv2d"):
        return _convolution(name, node, kind)
    if kind in ("SumPool2d", "AvgPool2d"):
        return _pooling(name, node, kind)
    if kind == "Flatten":
        return _flatten(name, node)
    raise ModelError(
        f"The NIR node {name!r} is of type {kind}, which has no ANN counterpart here; "
        f"supported are {_SUPPORTED}."
    )


def _linear(name: str, node: Any) -> nn.Module:
    weight, bias = _array(node.weight), _bias(node)
    if weight.ndim != 2:
        raise ModelError(
            f"The weights of the NIR node {name!r} have shape {weight.shape}, needed are two axes."
        )
    module = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    return _filled(name, module, weight, bias)


def _convolution(name: str, node: Any, kind: str) -> nn.Module:
    weight, bias = _array(node.weight), _bias(node)
    make: Any = nn.Conv1d if kind == "Conv1d" else nn.Conv2d
    axes = 1 if kind == "Conv1d" else 2
    groups = int(_array(node.groups))
    module = make(
        weight.shape[1] * groups,
        weight.shape[0],
        weight.shape[2:],
        stride=_tuple(node.stride, axes),
        padding=_padding(node.padding, axes),
        dilation=_tuple(node.dilation, axes),
        groups=groups,
        bias=bias is not None,
    )
    return _filled(name, module, weight, bias)


def _pooling(name: str, node: Any, kind: str) -> nn.Module:
    kernel, stride = _tuple(node.kernel_size, 2), _tuple(node.stride, 2)
    padding = _tuple(node.padding, 2)
    if kind == "AvgPool2d":
        return nn.AvgPool2d(kernel, stride, padding)
    if padding != (0, 0):
        raise ModelError(
            f"The NIR node {name!r} is a sum pooling with padding {padding}, supported is 0."
        )
    pool: nn.Module = sl.SumPool2d(kernel, stride)
    return pool


def _flatten(name: str, node: Any) -> nn.Module:
    """Flattening of all axes. Exporters disagree on whether the batch axis is counted, so a
    first axis of 0 or 1 is taken as everything but the batch."""
    start, end = int(_array(node.start_dim)), int(_array(node.end_dim))
    if start not in (0, 1) or end not in (-1, 2, 3):
        raise ModelError(
            f"The NIR node {name!r} flattens axes {start} to {end}, supported is all of them."
        )
    return nn.Flatten()


def _filled(
    name: str,
    module: nn.Module,
    weight: npt.NDArray[np.float64],
    bias: npt.NDArray[np.float64] | None,
) -> nn.Module:
    values = {"weight": weight} if bias is None else {"weight": weight, "bias": bias}
    with torch.no_grad():
        for key, value in values.items():
            parameter = module.get_parameter(key)
            if not np.all(np.isfinite(value)) or parameter.shape != value.shape:
                raise ModelError(
                    f"The {key} of the NIR node {name!r} has NaN or infinite values, or the "
                    f"shape {value.shape} instead of {tuple(parameter.shape)}."
                )
            parameter.copy_(torch.from_numpy(value.astype(np.float32)))
    return module


def _bias(node: Any) -> npt.NDArray[np.float64] | None:
    """The bias, or None where it is absent or all zeros (NIR has no layers without)."""
    bias = getattr(node, "bias", None)
    if bias is None or not np.any(_array(bias)):
        return None
    return _array(bias)


def _array(value: Any) -> npt.NDArray[np.float64]:
    """Real numbers; a cast would drop an imaginary part with a warning at most.

    Raises:
        ModelError: the values are complex.
    """
    array = np.asarray(value)
    if np.iscomplexobj(array):
        raise ModelError(
            f"A NIR node holds values of type {array.dtype}, needed are real numbers; export the "
            "network again with real weights."
        )
    return array.astype(np.float64)


def _tuple(value: Any, axes: int) -> Any:
    numbers = [int(n) for n in np.atleast_1d(np.asarray(value))]
    return tuple(numbers * axes if len(numbers) == 1 else numbers)


def _padding(value: Any, axes: int) -> str | tuple[int, ...]:
    if isinstance(value, bytes):
        value = value.decode()
    return value if isinstance(value, str) else _tuple(value, axes)
