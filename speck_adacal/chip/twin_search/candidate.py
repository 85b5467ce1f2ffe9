"""What the search changes: each layer's gain on the chip, and where its potentials start."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from speck_adacal.adaptation.recipe import LayerRecipe, Recipe


@dataclass(frozen=True)
class Candidate:
    """A point of the search, relative to a base recipe.

    Attributes:
        gains: by layer, what the core's threshold is multiplied by; the layers behind it are not
            compensated, so that a gain of 2 halves all later activity.
        starts: by layer, added to the initial potential, in thresholds.
    """

    gains: tuple[float, ...]
    starts: tuple[float, ...]

    @classmethod
    def base(cls, recipe: Recipe) -> Candidate:
        """The base recipe itself."""
        layers = len(recipe.layers)
        return cls((1.0,) * layers, (0.0,) * layers)

    def apply(self, base: Recipe) -> Recipe:
        """The recipe of this candidate."""
        total = np.cumprod(self.gains)
        layers = tuple(
            _changed(layer, float(total[i]), self.starts[i]) for i, layer in enumerate(base.layers)
        )
        return replace(base, layers=layers)


def _changed(layer: LayerRecipe, factor: float, start: float) -> LayerRecipe:
    threshold = np.asarray(layer.threshold * factor)
    initial = np.asarray(layer.initial_potential)
    shift = np.asarray(layer.rho * start * threshold)
    if shift.ndim:
        shift = shift.reshape(-1, *(1,) * max(0, initial.ndim - 1))
    return replace(layer, threshold=threshold, initial_potential=initial * factor + shift)


@dataclass(frozen=True)
class Move:
    """A change at one layer: a `gain`, a `share` (the next layer makes up for it) or a `start`.

    Attributes:
        kind: one of the three.
        layer: where; no layer before it is changed.
        amount: a factor, or for `start` a shift in thresholds.
    """

    kind: str
    layer: int
    amount: float

    def __call__(self, candidate: Candidate) -> Candidate:
        """The changed candidate."""
        if self.kind == "start":
            starts = list(candidate.starts)
            starts[self.layer] += self.amount
            return replace(candidate, starts=tuple(starts))
        gains = list(candidate.gains)
        gains[self.layer] *= self.amount
        if self.kind == "share":
            gains[self.layer + 1] /= self.amount
        return replace(candidate, gains=tuple(gains))


def layer_moves(recipe: Recipe, factor: float, shift: float) -> Iterator[tuple[Move, Move]]:
    """Pairs of opposite moves, from the last layer to the first: late ones are cheap to try.

    The readout's threshold is not among them, since its spikes cost nothing.
    """
    hidden = [i for i, layer in enumerate(recipe.layers) if not layer.readout]
    for layer in reversed(hidden):
        yield Move("gain", layer, factor), Move("gain", layer, 1 / factor)
        yield Move("start", layer, -shift), Move("start", layer, shift)
        if layer + 1 in hidden:
            yield Move("share", layer, factor), Move("share", layer, 1 / factor)
