"""What becomes of biases and of the membrane's lower clip on the chip."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

from pydantic import Field

from speck_adacal.core_layers import FoldedLayer
from speck_adacal.errors import SettingsError
from speck_adacal.recipe.recipe import LayerRecipe, Recipe
from speck_adacal.rules.shapes import Violation
from speck_adacal.validation import Count, checked, one_of

BIASES = ("recipe", "initial", "leak", "refuse")
CLOCK_LOW_HZ, CLOCK_HIGH_HZ = 10.0, 10_000.0  # typical, by sinabs' overview of the chip


@checked
class ChipPolicy:
    """How a float layer's bias and lower clip are brought onto a core.

    Attributes:
        bias: `"recipe"`: as adaptation chose, layer by layer; `"initial"`: a window's worth of bias
            is part of the initial potential (exact in total charge for a window of known length);
            `"leak"`: it is added at every tick of the slow clock, one tick a time step;
            `"refuse"`: a network with biases is refused. (Biases that events carry are no biases
            any more, and none of this concerns them.)
        lower_clip: how far below zero a membrane potential may fall, in firing thresholds; None
            leaves it to the recipe, layer by layer, where it is open to 16 bits unless one was
            chosen by measuring; infinity opens all. A converted network loses charge at a clip.
        window_us: duration of a sample (of T time steps), for a leak; None takes the recipe's.

    Raises:
        SettingsError: a field is out of range.
    """

    bias: Annotated[str, one_of(*BIASES)] = "recipe"
    lower_clip: Annotated[float, Field(gt=0, allow_inf_nan=True)] | None = None
    window_us: Count | None = None

    def recorded_in(self, recipe: Recipe) -> Recipe:
        """The recipe with what this policy wants otherwise; without the verdict then, which was
        another network's."""
        if self.bias in ("recipe", "refuse") and self.lower_clip is None and not self.window_us:
            return recipe
        step_us = recipe.step_us
        if self.window_us is not None:
            step_us = self.window_us / recipe.settings.time_steps
        layers = tuple(self._changed(layer) for layer in recipe.layers)
        return replace(recipe, layers=layers, step_us=step_us, verdict=None)

    def _changed(self, layer: LayerRecipe) -> LayerRecipe:
        if self.bias in ("initial", "leak"):
            layer = replace(layer, leaks=self.bias == "leak")
        if self.lower_clip is not None:
            clip = None if math.isinf(self.lower_clip) else self.lower_clip
            layer = replace(layer, lower_clip=clip)
        return layer


def slow_clock_hz(recipe: Recipe) -> float:
    """Rate of the slow clock, one tick a time step.

    Raises:
        SettingsError: no duration of a sample is known, or the chip's slow clock does not go that
            fast or slow.
    """
    if recipe.step_us is None:
        raise SettingsError(
            "A leak needs window_us, the duration of a sample (the recipe has none): it is charge "
            "per time, a bias is charge per time step; give ChipPolicy.window_us."
        )
    rate = 1e6 / recipe.step_us
    if not CLOCK_LOW_HZ <= rate <= CLOCK_HIGH_HZ:
        raise SettingsError(
            f"Time steps of {recipe.step_us:g} µs need a slow clock of {rate:.4g} Hz, it runs at "
            f"{CLOCK_LOW_HZ:g} to {CLOCK_HIGH_HZ:g} Hz; use bias='initial', or other time steps."
        )
    return rate


def refused_biases(layers: Sequence[FoldedLayer], policy: ChipPolicy) -> tuple[Violation, ...]:
    """An error for every layer with a bias, where the policy refuses them."""
    if policy.bias != "refuse":
        return ()
    return tuple(
        Violation(
            "bias",
            layer.name,
            f"biases of up to {abs(layer.bias).max():.3g} thresholds a time step",
            "none, as asked for (bias='refuse')",
            "use bias='initial' for samples of known length, or train without biases",
        )
        for layer in layers
        if layer.bias.any()
    )
