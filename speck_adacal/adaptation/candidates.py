"""Candidates of a layer: the same neurons at another φ or ρ, with what belongs to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from speck_adacal.recipe.recipe import LayerRecipe, Recipe

Array = npt.NDArray[np.float64]


def phi_candidates(
    recipe: Recipe, thresholds_at: Mapping[int, Mapping[str, Array]], phis: Sequence[int]
) -> dict[str, list[LayerRecipe]]:
    """Each layer at each φ, with the threshold that belongs to it.

    The correction of the initial potential (its distance to half a threshold) is kept.
    """
    return {
        layer.name: [layer.with_threshold(thresholds_at[phi][layer.name], phi=phi) for phi in phis]
        for layer in recipe.layers
        if not layer.readout
    }


def rho_candidates(recipe: Recipe, rhos: Sequence[float]) -> dict[str, list[LayerRecipe]]:
    """Each layer at each ρ."""
    return {
        layer.name: [layer.with_threshold(layer.threshold, rho=rho) for rho in rhos]
        for layer in recipe.layers
        if not layer.readout
    }
