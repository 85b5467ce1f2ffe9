"""Would a network fit the chip? Shapes alone are enough, so it can be asked before training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from speck_adacal.adaptation.recipe import AdaptSettings, LayerRecipe, Recipe
from speck_adacal.ann.graph import Kind, LayerGraph
from speck_adacal.chip.competition import fitting_cores
from speck_adacal.chip.fan_out import check_fan_out
from speck_adacal.chip.fold import fold
from speck_adacal.chip.rules import check_layers
from speck_adacal.chip.shapes import LayerShape, Violation
from speck_adacal.chip_description import load_chip_description


@dataclass(frozen=True)
class CheckedLayer:
    """A layer's needs, and the cores that could hold it (none where it is too large)."""

    shape: LayerShape
    cores: tuple[int, ...]


@dataclass(frozen=True)
class CheckResult:
    """All layers and all violated design rules."""

    chip: str
    layers: tuple[CheckedLayer, ...]
    violations: tuple[Violation, ...]


def check_network(graph: LayerGraph, *, chip: str = "speck2f") -> CheckResult:
    """Check a traced network against the design rules of a chip.

    Raises:
        ModelError: an operation has no counterpart on the chip.
        ConfigurationError: the chip is not known.
    """
    description = load_chip_description(chip)
    folded = fold(graph, _unit_recipe(graph))
    shapes = [LayerShape.of(layer) for layer in folded]
    layers = tuple(CheckedLayer(shape, fitting_cores(shape, description)) for shape in shapes)
    return CheckResult(
        chip, layers, check_layers(shapes, description) + check_fan_out(folded, description)
    )


def _unit_recipe(graph: LayerGraph) -> Recipe:
    """Thresholds of one everywhere: rules on shapes do not look at values."""
    one, half = np.array(1.0), np.array(0.5)
    spiking = [LayerRecipe(n.name, 1, 1.0, one, half) for n in graph.of_kind(Kind.ACTIVATION)]
    readout = [LayerRecipe(name, 1, 1.0, one, half, readout=True) for name in graph.outputs]
    return Recipe(AdaptSettings(), (*spiking, *readout))
