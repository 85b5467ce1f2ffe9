"""`AdaptedNetwork`: a network turned into a spiking one, with all that led there."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from speck_adacal.ann.graph import LayerGraph
from speck_adacal.recipe.recipe import Recipe
from speck_adacal.sheet import Sheet, Summarised
from speck_adacal.snn.layer_names import layer_names
from speck_adacal.snn.network import SpikingNetwork


@dataclass(frozen=True, eq=False)
class AdaptedNetwork(Summarised):
    """A network turned into a spiking one without training.

    Attributes:
        ann: the trained network as traced, batch norm folded: the `ann` level.
        graph: the network that is run: rewritten for the chip where that was needed, then
            calibrated (corrected biases or weights, where asked for).
        recipe: T, and φ, ρ, V_th and initial membrane potential of each layer, and how they
            were found.
        rewritten: what was calibrated, before that; None where nothing had to be rewritten. It
            computes what `ann` does (up to what the recipe's trace says), on an input with the
            constant channel of the recipe.
    """

    ann: LayerGraph = field(repr=False)
    graph: LayerGraph = field(repr=False)
    recipe: Recipe
    rewritten: LayerGraph | None = field(default=None, repr=False)

    @property
    def reference(self) -> LayerGraph:
        """The trained network node by node as `graph` has it, to compare layers with."""
        return self.ann if self.rewritten is None else self.rewritten

    def with_seed(self, seed: int | None) -> AdaptedNetwork:
        """The same network under another seed; unchanged where none is given."""
        if seed is None:
            return self
        settings = replace(self.recipe.settings, seed=seed)
        return replace(self, recipe=replace(self.recipe, settings=settings))

    def _sheet(self) -> Sheet:
        settings, names = self.recipe.settings, layer_names(self.graph, self.recipe)
        shape = " × ".join(map(str, self.ann.input_shape))
        rows = tuple(
            (
                names[layer.name] + (" (readout)" if layer.readout else ""),
                str(layer.phi),
                f"{layer.rho:g}",
                f"{float(np.mean(layer.threshold)):.4g}",
                "open" if layer.lower_clip is None else f"{-layer.lower_clip:g}",
            )
            for layer in self.recipe.layers
        )
        verdict = self.recipe.verdict
        return Sheet(
            f"Adapted network: input {shape}, T = {settings.time_steps}, not yet on a chip",
            ("layer", "φ", "ρ", "V_th", "lower clip, V_th"),
            rows,
            () if verdict is None else verdict.lines(),
        )

    @cached_property
    def network(self) -> SpikingNetwork:
        """The Sinabs network (the `snn` level), `[batch, T, *graph.input_shape]` to
        `[batch, T, classes]`."""
        return SpikingNetwork(self.graph, self.recipe)
