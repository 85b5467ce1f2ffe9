"""The smallest change of a network that makes it fit the chip, found by trying and checking.

A change keeps the maps of all other layers as they are, so that it can be judged by shapes alone.
Smallest means: it takes least of the network's multiply-accumulates away.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from speck_adacal.chip_description import ChipDescription
from speck_adacal.rules.rules import check_layers
from speck_adacal.rules.shapes import LayerShape

_WIDTHS = 64  # steps of the width that all hidden layers are scaled to


@dataclass(frozen=True)
class Change:
    """A change after which no rule on shapes is violated.

    Attributes:
        text: what to change, in words.
        layers: the shapes after it.
        kept: share of the multiply-accumulates that remain.
    """

    text: str
    layers: tuple[LayerShape, ...]
    kept: float


def smallest_change(layers: Sequence[LayerShape], description: ChipDescription) -> Change | None:
    """The smallest of these changes that makes a chain of layers fit; None where none does.

    Tried on each layer: fewer output channels, a smaller kernel with as much less padding, a
    strided convolution in place of its pooling, and leaving it out where its maps on both sides
    are the same; where no single change is enough, the same fraction of the channels in all
    hidden layers.

    Args:
        layers: in order of the signal; each takes its input from the one before.
        description: the chip.
    """
    layers = tuple(layers)
    before = sum(map(_macs, layers))
    singles = [
        Change(text, changed, sum(map(_macs, changed)) / before)
        for index in range(len(layers))
        for text, changed in _single_changes(layers, index, description)
    ]
    if singles:
        return max(singles, key=lambda change: change.kept)
    for step in range(_WIDTHS - 1, 0, -1):
        narrowed = _narrowed(layers, step / _WIDTHS)
        if not check_layers(narrowed, description):
            text = f"use {step / _WIDTHS:.0%} of the channels in every hidden layer: " + ", ".join(
                f"{layer.name} {layer.out_shape[0]}" for layer in narrowed[:-1]
            )
            return Change(text, narrowed, sum(map(_macs, narrowed)) / before)
    return None


Found = Iterator[tuple[str, tuple[LayerShape, ...]]]


def _single_changes(
    layers: tuple[LayerShape, ...], index: int, description: ChipDescription
) -> Found:
    yield from _fewer_channels(layers, index, description)
    for text, layer in (*_smaller_kernels(layers[index]), *_strided(layers[index])):
        changed = (*layers[:index], layer, *layers[index + 1 :])
        if not check_layers(changed, description):
            yield text, changed
            break
    if _spare(layers, index):
        changed = (*layers[:index], *layers[index + 1 :])
        if not check_layers(changed, description):
            yield f"leave out {layers[index].name}", changed


def _fewer_channels(
    layers: tuple[LayerShape, ...], index: int, description: ChipDescription
) -> Found:
    """The most output channels of a hidden layer with which all fits (bisection: less never
    takes more memory)."""
    if index == len(layers) - 1:
        return
    fits, fails = 0, layers[index].out_shape[0]
    while fails - fits > 1:
        middle = (fits + fails) // 2
        if check_layers(_with_channels(layers, {index: middle}), description):
            fails = middle
        else:
            fits = middle
    if fits:
        name, had = layers[index].name, layers[index].out_shape[0]
        text = f"use {fits} output channels in {name} (now {had})"
        yield text, _with_channels(layers, {index: fits})


def _smaller_kernels(layer: LayerShape) -> Iterator[tuple[str, LayerShape]]:
    """Kernels smaller by 2, 4, … with padding smaller by 1, 2, …: the map stays as it is."""
    for less in range(1, min(layer.padding) + 1):
        kernel = layer.kernel[0] - 2 * less, layer.kernel[1] - 2 * less
        if min(kernel) < 1:
            return
        padding = layer.padding[0] - less, layer.padding[1] - less
        text = f"use a {kernel[0]}×{kernel[1]} kernel with padding {padding[0]} in {layer.name}"
        yield text, replace(layer, kernel=kernel, padding=padding)


def _strided(layer: LayerShape) -> Iterator[tuple[str, LayerShape]]:
    """Fewer neurons: the convolution strides by what was pooled."""
    if layer.pool == 1:
        return
    stride = layer.stride[0] * layer.pool, layer.stride[1] * layer.pool
    channels, height, width = layer.out_shape
    maps = tuple(
        (size + 2 * pad - kernel) // step + 1
        for size, pad, kernel, step in zip(
            layer.in_shape[1:], layer.padding, layer.kernel, stride, strict=True
        )
    )
    if maps != (height // layer.pool, width // layer.pool):
        return
    text = f"use stride {stride[0]} in {layer.name} in place of its pooling by {layer.pool}"
    yield text, replace(layer, stride=stride, pool=1, out_shape=(channels, *maps))


def _spare(layers: tuple[LayerShape, ...], index: int) -> bool:
    """Whether the layer behind could take this layer's input as its own."""
    return index + 1 < len(layers) and layers[index].in_shape == layers[index + 1].in_shape


def _narrowed(layers: tuple[LayerShape, ...], width: float) -> tuple[LayerShape, ...]:
    hidden = range(len(layers) - 1)
    return _with_channels(layers, {i: max(1, int(layers[i].out_shape[0] * width)) for i in hidden})


def _with_channels(
    layers: tuple[LayerShape, ...], channels: dict[int, int]
) -> tuple[LayerShape, ...]:
    changed = list(layers)
    for index, count in channels.items():
        changed[index] = replace(changed[index], out_shape=(count, *changed[index].out_shape[1:]))
        after = changed[index + 1]
        changed[index + 1] = replace(after, in_shape=(count, *after.in_shape[1:]))
    return tuple(changed)


def _macs(layer: LayerShape) -> int:
    channels, height, width = layer.out_shape
    return channels * height * width * layer.in_shape[0] * layer.kernel[0] * layer.kernel[1]
