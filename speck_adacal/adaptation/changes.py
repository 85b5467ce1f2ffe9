"""What a refinement may change: φ and V_th (AdaFire), or ρ (SSC)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from speck_adacal.recipe.recipe import LayerRecipe, Recipe

FACTORS = (
    0.85,
    1.18,
)  # a layer's spikes change by about as much: what a table of 128 samples sees


@dataclass(frozen=True)
class KindOfChange:
    """One kind of change.

    Attributes:
        name: for the trace.
        neighbours: candidates around a layer.
        scale: the layer with its firing threshold times a factor.
    """

    name: str
    neighbours: Callable[[LayerRecipe], list[LayerRecipe]]
    scale: Callable[[LayerRecipe, float], LayerRecipe]

    def options(self, recipe: Recipe) -> dict[str, list[LayerRecipe]]:
        """Candidates of every spiking layer."""
        return {x.name: self.neighbours(x) for x in recipe.layers if not x.readout}

    def scaled(self, recipe: Recipe, factor: float) -> Recipe:
        """All firing thresholds times `factor`, potentials as before any correction."""
        layers = (x if x.readout else self.scale(x, factor).uncorrected() for x in recipe.layers)
        return replace(recipe, layers=tuple(layers))


def _scale_threshold(layer: LayerRecipe, factor: float) -> LayerRecipe:
    return replace(layer, threshold=np.asarray(layer.threshold * factor))


def _scale_rho(layer: LayerRecipe, factor: float) -> LayerRecipe:
    return replace(layer, rho=float(layer.rho * factor))


def _phi_neighbours(layer: LayerRecipe) -> list[LayerRecipe]:
    moved = [_scale_threshold(layer, f) for f in FACTORS]
    caps = [p for p in (layer.phi - 1, layer.phi + 1) if p >= 1]
    return moved + [replace(layer, phi=p) for p in caps]


def _rho_neighbours(layer: LayerRecipe) -> list[LayerRecipe]:
    return [_scale_rho(layer, f) for f in FACTORS]


PHI = KindOfChange("phi", _phi_neighbours, _scale_threshold)
RHO = KindOfChange("ssc", _rho_neighbours, _scale_rho)
