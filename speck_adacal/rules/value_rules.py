"""Design rules on the quantised values: what the chip can hold but would compute wrongly."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from speck_adacal.core_layers import STATE_HIGH, STATE_LOW, QuantisedLayer
from speck_adacal.rules.shapes import Violation

_FEWEST_LEVELS = 16

ValueRule = Callable[[QuantisedLayer], "Violation | None"]


def check_values(layers: Iterable[QuantisedLayer]) -> tuple[Violation, ...]:
    """Apply every rule on values to every layer."""
    found = [rule(layer) for layer in layers for rule in VALUE_RULES]
    return tuple(violation for violation in found if violation is not None)


def _rule_threshold_low(layer: QuantisedLayer) -> Violation | None:
    """A lower threshold of 0 is broken on the chip (datasheet: known bug)."""
    if layer.threshold_low != 0:
        return None
    return Violation(
        "threshold-low",
        layer.folded.name,
        "threshold_low = 0, which is broken on this generation of the chip",
        "any other value",
        "use -1",
    )


def _rule_state(layer: QuantisedLayer) -> Violation | None:
    """Initial states (with the bias folded in) must fit 16 bits."""
    if not layer.saturated:
        return None
    return Violation(
        "initial-state",
        layer.folded.name,
        f"{layer.saturated} initial states beyond 16 bits",
        f"{STATE_LOW} to {STATE_HIGH}",
        "shorten the window, or train with smaller biases",
    )


def _rule_drain(layer: QuantisedLayer) -> Violation | None:
    """A weight above the threshold brings in more than the one spike per event can carry away."""
    largest = int(layer.weight.max())
    if largest <= layer.threshold or layer.folded.recipe.readout:
        return None
    share = float(np.mean(layer.weight > layer.threshold))
    return Violation(
        "drain",
        layer.folded.name,
        f"weights to {largest} with a threshold of {layer.threshold} "
        f"({share:.1%} of the weights): a neuron fires once per event and cannot drain",
        "weights up to the threshold",
        "raise this layer's threshold (ρ), or lower the threshold of the layer before it",
        severity="warning",
    )


def _rule_levels(layer: QuantisedLayer) -> Violation | None:
    """Few surviving weight values mean that an outlier sets the scale."""
    if layer.distinct_levels >= min(_FEWEST_LEVELS, layer.weight.size):
        return None
    return Violation(
        "levels",
        layer.folded.name,
        f"{layer.distinct_levels} distinct weight values survive (limited by {layer.limited_by})",
        f"{_FEWEST_LEVELS} or more",
        "clip the outlier weights, or spread the layer's channels more evenly",
        severity="warning",
    )


VALUE_RULES: tuple[ValueRule, ...] = (_rule_threshold_low, _rule_state, _rule_drain, _rule_levels)
