"""`AdaptedNetwork`: a network turned into a spiking one, with all that led there."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from speck_adacal.ann.graph import LayerGraph
from speck_adacal.recipe.recipe import Recipe
from speck_adacal.snn.network import SpikingNetwork


@dataclass(frozen=True, eq=False)
class AdaptedNetwork:
    """A network turned into a spiking one without training.

    Attributes:
        ann: the trained network as traced, batch norm folded: the `ann` level.
        graph: the same after calibration (corrected biases or weights, where asked for).
        recipe: T, and φ, ρ, V_th and initial membrane potential of each layer, and how they
            were found.
    """

    ann: LayerGraph = field(repr=False)
    graph: LayerGraph = field(repr=False)
    recipe: Recipe

    @cached_property
    def network(self) -> SpikingNetwork:
        """The Sinabs network (the `snn` level), `[batch, T, *input_shape]` to
        `[batch, T, classes]`."""
        return SpikingNetwork(self.graph, self.recipe)
