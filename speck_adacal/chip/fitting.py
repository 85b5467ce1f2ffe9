"""Whether a network fits a chip, by its shapes alone."""

from __future__ import annotations

import numpy as np

from speck_adacal.ann.graph import Kind, LayerGraph
from speck_adacal.chip.fold import fold
from speck_adacal.chip_description import DEFAULT_CHIP, load_chip_description
from speck_adacal.errors import ModelError
from speck_adacal.readout.class_map import class_map_of
from speck_adacal.recipe.recipe import AdaptSettings, LayerRecipe, Recipe
from speck_adacal.rewriting.rewrite import Target
from speck_adacal.rules.fan_out import check_fan_out
from speck_adacal.rules.rules import check_layers
from speck_adacal.rules.shapes import LayerShape


def fits(graph: LayerGraph, *, chip: str = DEFAULT_CHIP) -> bool:
    """Whether the layers of a network, as they are, fit the cores of a chip.

    Args:
        graph: with nothing left that has to be rewritten.
        chip: a name of `chip_description.known_chips()`.
    """
    try:
        folded = fold(graph, unit_recipe(graph))
        class_map_of(graph)
    except ModelError:
        return False
    description = load_chip_description(chip)
    shapes = [LayerShape.of(layer) for layer in folded]
    found = check_layers(shapes, description) + check_fan_out(folded, description)
    return all(violation.severity != "error" for violation in found)


def target_chip(chip: str) -> Target:
    """The chip of a name, as rewritings ask for it."""
    return Target(load_chip_description(chip), lambda graph: fits(graph, chip=chip))


def unit_recipe(graph: LayerGraph) -> Recipe:
    """Thresholds of one everywhere: rules on shapes do not look at values."""
    one, half = np.array(1.0), np.array(0.5)
    spiking = [
        # where a constant is relayed, each channel has a threshold of its own
        LayerRecipe(node.name, 1, 1.0, np.ones(node.shape[0]) if node.relay else one, half)
        for node in graph.of_kind(Kind.ACTIVATION)
    ]
    readout = [LayerRecipe(name, 1, 1.0, one, half, readout=True) for name in graph.outputs]
    return Recipe(AdaptSettings(), (*spiking, *readout))
