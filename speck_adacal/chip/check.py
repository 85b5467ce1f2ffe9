"""Would a network fit the chip? Shapes alone are enough, so it can be asked before training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from speck_adacal.ann.graph import LayerGraph
from speck_adacal.chip.deploy import sized, spread_readout
from speck_adacal.chip.fitting import unit_recipe
from speck_adacal.chip.fold import fold
from speck_adacal.chip.operations import (
    bounds,
    layer_shapes,
    refused_layers,
    structure,
    unsupported_operations,
)
from speck_adacal.chip.rewritings import Planned, planned_rewritings
from speck_adacal.chip.wiring import Wiring
from speck_adacal.chip_description import DEFAULT_CHIP, ChipDescription, load_chip_description
from speck_adacal.core_layers import FoldedLayer
from speck_adacal.errors import ModelError
from speck_adacal.readout.class_map import class_map_of
from speck_adacal.rules.competition import fitting_cores
from speck_adacal.rules.fan_out import check_fan_out, is_chain
from speck_adacal.rules.rules import check_layers
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
        rewritings: what `adapt` will rewrite before; layers and violations are of the result.
    """

    chip: str
    layers: tuple[CheckedLayer, ...]
    violations: tuple[Violation, ...]
    change: Change | None = None
    rewritings: tuple[Planned, ...] = ()

    @property
    def errors(self) -> tuple[Violation, ...]:
        """The rules without which the network cannot be put on the chip; others are warnings."""
        return tuple(violation for violation in self.violations if violation.severity == "error")


def check_network(
    graph: LayerGraph, *, chip: str = DEFAULT_CHIP, wiring: Wiring | None = None
) -> CheckResult:
    """Check a traced network against the design rules of a chip.

    All that is wrong is said at once: where operations or layers cannot be put on the chip, the
    layers behind them are looked at as well, by their shapes alone. The network is looked at as
    `adapt` will rewrite it.

    Args:
        graph: of `trace`, or of `trace_whole`, stand-ins for unsupported operations included.
        chip: a name of `chip_description.known_chips()`.
        wiring: the chip's own sensor and read-out layer, where they are asked for.

    Raises:
        ConfigurationError: the chip is not known.
    """
    wiring = wiring or Wiring()
    description = load_chip_description(chip)
    at_sensor = _at_sensor(graph, wiring, description)
    graph, rewritings = planned_rewritings(graph, description)
    refused = unsupported_operations(graph) + refused_layers(graph)
    folded: tuple[FoldedLayer, ...] = ()
    if not refused:
        try:
            folded = fold(graph, unit_recipe(graph))
            class_map = class_map_of(graph)  # on cores it could be, but perhaps not be read out
        except ModelError as error:  # of the network as a whole: its branches, its outputs
            refused = (structure(graph, error),)
    if refused:
        shapes = layer_shapes(graph)
        violations = refused + check_layers(shapes, description) + bounds(graph) + at_sensor
        checked = _checked(shapes, description)
        return CheckResult(chip, checked, violations, rewritings=rewritings)
    misread: tuple[Violation, ...] = ()
    if wiring.readout is not None:
        misread = wiring.readout.violations(folded[-1], class_map, description)
        if not misread:
            folded, _ = spread_readout(folded, class_map)
    shapes = tuple(LayerShape.of(layer) for layer in folded)
    broken = check_layers(shapes, description)
    change = smallest_change(shapes, description) if broken and is_chain(folded) else None
    violations = broken + check_fan_out(folded, description) + bounds(graph) + at_sensor + misread
    return CheckResult(chip, _checked(shapes, description), violations, change, rewritings)


def _at_sensor(
    graph: LayerGraph, wiring: Wiring, description: ChipDescription
) -> tuple[Violation, ...]:
    """What the sensor cannot show to the network."""
    if wiring.sensor is None:
        return ()
    channels, height, width = sized(graph.input_shape)
    shape = (channels, height, width)
    return wiring.sensor.fitted(shape, description).violations(shape, description)


def _checked(
    shapes: Sequence[LayerShape], description: ChipDescription
) -> tuple[CheckedLayer, ...]:
    return tuple(CheckedLayer(shape, fitting_cores(shape, description)) for shape in shapes)
