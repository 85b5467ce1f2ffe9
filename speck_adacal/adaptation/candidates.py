"""Candidates of a layer: the same neurons at another φ or ρ, with what belongs to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from speck_adacal.recipe.recipe import LayerRecipe, Recipe

Array = npt.NDArray[np.float64]


def phi_variants(
    recipe: Recipe, thresholds_at: Mapping[int, Mapping[str, Array]], phis: Sequence[int]
) -> dict[str, list[LayerRecipe]]:
    """Each layer at each φ, with the threshold that belongs to it.

    The correction of the initial potential (its distance to half a threshold) is kept.
    """
    return {
        layer.name: [
            with_threshold(layer, np.asarray(thresholds_at[phi][layer.name]), phi=phi)
            for phi in phis
        ]
        for layer in recipe.layers
        if not layer.readout
    }


def rho_variants(recipe: Recipe, rhos: Sequence[float]) -> dict[str, list[LayerRecipe]]:
    """Each layer at each ρ."""
    return {
        layer.name: [with_threshold(layer, layer.threshold, rho=rho) for rho in rhos]
        for layer in recipe.layers
        if not layer.readout
    }


def with_threshold(
    layer: LayerRecipe, threshold: Array, *, phi: int | None = None, rho: float | None = None
) -> LayerRecipe:
    """`layer` with another V_th, φ or ρ; its potential stays as far from half of θ as it was."""
    rho = layer.rho if rho is None else float(rho)
    moved = layer.beside_potential((rho * threshold - layer.firing_threshold) / 2)
    return replace(
        layer,
        phi=layer.phi if phi is None else phi,
        rho=rho,
        threshold=threshold,
        initial_potential=np.asarray(layer.initial_potential + moved),
    )
