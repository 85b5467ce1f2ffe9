"""Thresholds that the chip needs otherwise than adaptation found them: readout and channels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from speck_adacal.recipe.recipe import LayerRecipe

Floats = npt.NDArray[np.float64]

# Largest weight of a channel in thresholds, as a multiple of the median channel's: two of the
# eight bits.
_WIDEST_SPREAD = 4.0


def fine_readout(recipe: LayerRecipe, kernel: Floats) -> LayerRecipe:
    """The readout's threshold as low as it may be: one for all classes, so that counts compare.

    No core listens to the readout, so that its spikes cost nothing, and more of them tell close
    classes apart. A threshold below the largest weight would let charge pile up undrained.
    """
    largest = float(kernel.max(initial=0.0))
    coarse = float(np.mean(recipe.threshold))
    fine = min(coarse, largest) if largest > 0 else coarse
    return recipe.with_threshold(fine, rho=1.0)


def balance_channels(recipe: LayerRecipe, kernel: Floats, relays: int = 0) -> LayerRecipe:
    """Raise the thresholds of channels whose weights, in thresholds, dwarf the other channels'.

    One scale serves the whole core: a channel that hardly ever fires (and so was given a tiny
    threshold) would leave all others a handful of integer levels. The last
    `relays` channels relay a constant, and keep theirs. The last `relays` channels relay
    a constant, and keep theirs.
    """
    largest = np.abs(kernel).max(axis=(1, 2, 3))
    threshold = recipe.threshold.copy()
    ratio = largest / (recipe.rho * threshold)
    alive = ratio[largest > 0]
    if not alive.size:
        return recipe
    allowed = _WIDEST_SPREAD * float(np.median(alive))
    raised = np.maximum(threshold, largest / (recipe.rho * allowed))
    if relays:
        raised[-relays:] = threshold[-relays:]
    return recipe.with_threshold(raised)
