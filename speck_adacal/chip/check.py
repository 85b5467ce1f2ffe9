"""Would a network fit the chip? Shapes alone are enough, so it can be asked before training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from speck_adacal.ann.graph import Kind, LayerGraph
from speck_adacal.chip.fold import fold
from speck_adacal.chip.operations import convolution_shapes, unsupported_operations
from speck_adacal.chip_description import ChipDescription, load_chip_description
from speck_adacal.recipe.recipe import AdaptSettings, LayerRecipe, Recipe
from speck_adacal.rules.competition import fitting_cores
from speck_adacal.rules.fan_out import check_fan_out, is_chain
from speck_adacal.rules.rules import check_each_layer, check_layers
from speck_adacal.rules.shapes import LayerShape, Violation
from speck_adacal.rules.smallest_change import Change, smallest_change


@dataclass(frozen=True)
class CheckedLayer:
    """A layer's needs, and the cores that could hold it (none where it is too large)."""

    shape: LayerShape
    cores: tuple[int, ...]


@dataclass(frozen=True)
class CheckResult:
    """All layers and all violated design rules.

    Attributes:
        change: the smallest change of shapes found that would satisfy them all; None where there
            is nothing to change, or nothing was found (or the network is not a chain).
    """

    chip: str
    layers: tuple[CheckedLayer, ...]
    violations: tuple[Violation, ...]
    change: Change | None = None


def check_network(graph: LayerGraph, *, chip: str = "speck2f") -> CheckResult:
    """Check a traced network against the design rules of a chip.

    Where operations have no counterpart on the chip, all of them are named, with what else is
    wrong with the convolutions; the network as a whole (mapping, fan-out) can be judged only
    without them.

    Raises:
        ModelError: the network is put together in a way that no chip configuration can say.
        ConfigurationError: the chip is not known.
    """
    description = load_chip_description(chip)
    if operations := unsupported_operations(graph):
        shapes = list(convolution_shapes(graph))
        broken = operations + check_each_layer(shapes, description)
        return CheckResult(chip, _checked(shapes, description), broken)
    folded = fold(graph, _unit_recipe(graph))
    shapes = [LayerShape.of(layer) for layer in folded]
    broken = check_layers(shapes, description)
    change = smallest_change(shapes, description) if broken and is_chain(folded) else None
    violations = broken + check_fan_out(folded, description)
    return CheckResult(chip, _checked(shapes, description), violations, change)


def _checked(
    shapes: Sequence[LayerShape], description: ChipDescription
) -> tuple[CheckedLayer, ...]:
    return tuple(CheckedLayer(shape, fitting_cores(shape, description)) for shape in shapes)


def _unit_recipe(graph: LayerGraph) -> Recipe:
    """Thresholds of one everywhere: rules on shapes do not look at values."""
    one, half = np.array(1.0), np.array(0.5)
    spiking = [LayerRecipe(n.name, 1, 1.0, one, half) for n in graph.of_kind(Kind.ACTIVATION)]
    readout = [LayerRecipe(name, 1, 1.0, one, half, readout=True) for name in graph.outputs]
    return Recipe(AdaptSettings(), (*spiking, *readout))
