"""Quantise a folded layer: 8-bit weights, 16-bit thresholds and states, one scale for all.

The chip adds integer weights to an integer state and compares with an integer threshold, so the
three share one scale. Rounding is half to even, as in sinabs' own discretisation.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from speck_adacal.chip.joint_scale import joint_scale
from speck_adacal.chip.scale_traps import own_scale
from speck_adacal.core_layers import (
    STATE_HIGH,
    STATE_LOW,
    WEIGHT_HIGH,
    WEIGHT_LOW,
    FoldedLayer,
    QuantisedLayer,
    allowed_scale,
    start_of,
)
from speck_adacal.errors import DesignRuleError
from speck_adacal.recipe.recipe import LayerRecipe

# Below this many integers per threshold, the rounding of the threshold is looked at too.
_COARSE = 32

Floats = npt.NDArray[np.float64]


def quantise(layer: FoldedLayer, *, window_steps: int) -> QuantisedLayer:
    """Quantise one layer.

    Folding `window_steps` steps of bias into the initial state (the default policy) is exact in
    total charge for a window of that length, and spares the chip's slow-clock leak.

    Args:
        layer: the folded layer, in thresholds.
        window_steps: length of the window in time steps.

    Raises:
        DesignRuleError: all weights round to zero, so that the layer could never fire.
    """
    leaks = layer.recipe.leaks and bool(layer.bias.any())
    folded_steps = 0 if leaks else window_steps
    leak = layer.bias if leaks else np.zeros_like(layer.bias)
    start = start_of(layer, folded_steps)
    scale, limited_by = _scale(layer, start, leak)
    threshold, weight = max(1, int(np.rint(scale))), np.rint(layer.weight * scale)
    low = _threshold_low(layer.recipe, scale)
    if layer.recipe.as_is:
        most, limiting = _limit(layer, start, leak, weights=False)
        joint = joint_scale(layer, most, limiting)
        scale, limited_by = joint.scale, joint.limited_by
        threshold, weight = joint.threshold, joint.weight
        low = STATE_LOW if joint.lowest is None else min(-1, joint.lowest)
        better = own_scale(layer, joint, most) if layer.recipe.mended else None
        if better is not None:
            scale, limited_by = better.scale, "weights"
            threshold, weight = max(1, round(scale)), np.rint(layer.weight * scale)
            low = _threshold_low(layer.recipe, scale)
    weight = np.clip(weight, WEIGHT_LOW, WEIGHT_HIGH)
    if not weight.any():
        raise DesignRuleError(
            f"Layer {layer.name!r}: all weights round to zero at {scale:.3g} integers per "
            f"threshold (largest |weight| is {np.abs(layer.weight).max():.3g} thresholds), so it "
            "could never fire; lower its threshold, or remove the outlier that sets the scale."
        )
    return QuantisedLayer(
        folded=layer,
        weight=weight.astype(np.int8),
        threshold=threshold,
        threshold_low=low,
        bias=np.rint(leak * scale).astype(np.int16),
        initial=np.clip(np.rint(start * scale), STATE_LOW, STATE_HIGH).astype(np.int16),
        scale=scale,
        limited_by=limited_by,
        window_steps=folded_steps,
    )


def _threshold_low(recipe: LayerRecipe, scale: float) -> int:
    clip = recipe.lower_clip
    if clip is None:
        return STATE_LOW
    # 0 is broken on the chip (datasheet), and a clip above it is none.
    return max(STATE_LOW, min(-1, -round(clip * scale)))


def _scale(layer: FoldedLayer, start: Floats, leak: Floats) -> tuple[float, str]:
    """The largest scale at which every weight fits 8 bits, all else 16."""
    limit, limited_by = _limit(layer, start, leak, weights=True)
    return _fitting_threshold(layer.weight, limit), limited_by


def _limit(layer: FoldedLayer, start: Floats, leak: Floats, *, weights: bool) -> tuple[float, str]:
    limits = {
        "threshold": float(STATE_HIGH),
        "initial": allowed_scale(start, STATE_LOW, STATE_HIGH),
        "bias": allowed_scale(leak, STATE_LOW, STATE_HIGH),
    }
    if weights:
        limits = {"weights": allowed_scale(layer.weight, WEIGHT_LOW, WEIGHT_HIGH), **limits}
    limited_by = min(limits, key=lambda term: limits[term])
    return limits[limited_by], limited_by


def weight_error(weight: Floats, integers: npt.NDArray[Any], threshold: int) -> float:
    """Root mean square of `integers / threshold - weight`, relative to that of `weight`."""
    error = integers / max(1, threshold) - weight
    size = float(np.mean(weight**2))
    return float(np.sqrt(np.mean(error**2) / size)) if size > 0 else 0.0


def _fitting_threshold(weight: Floats, scale: float) -> float:
    """A low scale, or the whole number below it where that rounds less.

    The threshold is rounded as well: at 3.2 integers per threshold it moves by 6 %, and every
    weight of the layer with it.
    """
    if not 1 <= scale < _COARSE:
        return scale
    choices = (scale, float(np.floor(scale)))
    return min(choices, key=lambda s: weight_error(weight, np.rint(weight * s), round(s)))
