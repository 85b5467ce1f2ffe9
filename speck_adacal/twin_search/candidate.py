"""What the search changes: gains of layers and channels on the chip, and where potentials start."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from speck_adacal.recipe.recipe import LayerRecipe, Recipe

Floats = npt.NDArray[np.float64]
ByChannel = tuple[tuple[float, ...], ...]
_WIDEST_CLIP = (
    8.0  # thresholds below zero; fewer states than that fall so deep that it would matter
)


@dataclass(frozen=True)
class Candidate:
    """A point of the search, relative to a base recipe.

    Attributes:
        gains: by layer, what the core's threshold is multiplied by; the layers behind it are not
            compensated, so that a gain of 2 halves all later activity.
        starts: by layer, added to the initial potential, in thresholds.
        channel_gains: by layer and channel, what the channel's threshold is multiplied by; here
            the next layer makes up for it, each spike of the channel being worth so much more.
            Empty for a layer whose channels are left alone.
        channel_starts: by layer and channel, added to the initial potential, in thresholds.
        clips: by layer, the lower clip in thresholds below zero; infinite where it is open.
    """

    gains: tuple[float, ...]
    starts: tuple[float, ...]
    channel_gains: ByChannel
    channel_starts: ByChannel
    clips: tuple[float, ...]

    @classmethod
    def base(cls, recipe: Recipe, channels: Sequence[int]) -> Candidate:
        """The base recipe itself.

        Args:
            recipe: the base.
            channels: by layer, the number of channels to be changed one by one, or 0.
        """
        layers = len(recipe.layers)
        ones, zeros = (tuple((value,) * n for n in channels) for value in (1.0, 0.0))
        clips = tuple(math.inf if x.lower_clip is None else x.lower_clip for x in recipe.layers)
        return cls((1.0,) * layers, (0.0,) * layers, ones, zeros, clips)

    def apply(self, base: Recipe) -> Recipe:
        """The recipe of this candidate."""
        total = np.cumprod(self.gains)
        layers = tuple(
            _changed(
                layer,
                float(total[i]) * _column(self.channel_gains[i], 1.0),
                self.starts[i] + _column(self.channel_starts[i], 0.0),
                self.clips[i],
            )
            for i, layer in enumerate(base.layers)
        )
        return replace(base, layers=layers, verdict=None)  # it was another network's


def _column(values: tuple[float, ...], idle: float) -> Floats:
    """`[channels]`, or `[]` where no channel differs: the layer keeps its one threshold."""
    return np.array(idle if all(value == idle for value in values) else values)


def _changed(layer: LayerRecipe, factor: Floats, start: Floats, clip: float) -> LayerRecipe:
    threshold = np.asarray(layer.threshold * factor)
    scale, shift = map(layer.beside_potential, (factor, layer.rho * start * threshold))
    return replace(
        layer,
        threshold=threshold,
        initial_potential=np.asarray(layer.initial_potential * scale + shift),
        lower_clip=None if math.isinf(clip) else clip,
    )


@dataclass(frozen=True)
class Move:
    """A change at one layer or channel.

    Attributes:
        kind: `"gain"`, `"share"` (the next layer makes up for it), `"start"` or `"clip"`.
        layer: where; no layer before it is changed.
        amount: a factor, or for `"start"` a shift in thresholds.
        channel: None for all; of one channel only share and start can be changed.
    """

    kind: str
    layer: int
    amount: float
    channel: int | None = None

    def __call__(self, candidate: Candidate) -> Candidate:
        """The changed candidate."""
        if self.channel is not None:
            return self._of_channel(candidate, self.channel)
        if self.kind == "clip":
            clips = list(candidate.clips)
            clip = min(clips[self.layer], _WIDEST_CLIP) * self.amount
            clips[self.layer] = clip if clip < _WIDEST_CLIP else math.inf
            return replace(candidate, clips=tuple(clips))
        if self.kind == "start":
            starts = list(candidate.starts)
            starts[self.layer] += self.amount
            return replace(candidate, starts=tuple(starts))
        gains = list(candidate.gains)
        gains[self.layer] *= self.amount
        if self.kind == "share":
            gains[self.layer + 1] /= self.amount
        return replace(candidate, gains=tuple(gains))

    def _of_channel(self, candidate: Candidate, channel: int) -> Candidate:
        starts = self.kind == "start"
        table = [
            list(row) for row in (candidate.channel_starts if starts else candidate.channel_gains)
        ]
        row = table[self.layer]
        row[channel] = row[channel] + self.amount if starts else row[channel] * self.amount
        changed = tuple(map(tuple, table))
        if starts:
            return replace(candidate, channel_starts=changed)
        return replace(candidate, channel_gains=changed)


def layer_moves(
    recipe: Recipe, factor: float, shift: float, clip: float
) -> Iterator[tuple[Move, Move]]:
    """Pairs of opposite moves, from the last layer to the first: late ones are cheap to try.

    The readout's threshold is not among them, since its spikes cost nothing; initial potentials
    are not where `shift` is 0, since they are worth nothing.
    """
    hidden = {i for i, layer in enumerate(recipe.layers) if not layer.readout}
    for layer in reversed(range(len(recipe.layers))):
        if layer in hidden:
            yield Move("gain", layer, factor), Move("gain", layer, 1 / factor)
            if shift:
                yield Move("start", layer, -shift), Move("start", layer, shift)
        if {layer, layer + 1} <= hidden:
            yield Move("share", layer, factor), Move("share", layer, 1 / factor)
        yield Move("clip", layer, 1 / clip), Move("clip", layer, clip)


def channel_moves(
    channels: Sequence[int], factor: float, shift: float
) -> Iterator[tuple[Move, Move]]:
    """The same for single channels, `channels[i]` of them in layer i."""
    for layer in reversed(range(len(channels))):
        for channel in range(channels[layer]):
            yield (
                Move("share", layer, factor, channel),
                Move("share", layer, 1 / factor, channel),
            )
            if shift:
                yield Move("start", layer, -shift, channel), Move("start", layer, shift, channel)
