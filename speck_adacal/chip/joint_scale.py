"""The integers that sinabs itself would give a layer, for networks that came spiking.

Source: `sinabs.backend.dynapcnn.discretize` of sinabs 3: one scale for weights, bias, thresholds,
in float32 arithmetic.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from speck_adacal.core_layers import (
    STATE_HIGH,
    STATE_LOW,
    WEIGHT_HIGH,
    WEIGHT_LOW,
    FoldedLayer,
)

Singles = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class JointScale:
    """A layer by sinabs' joint scale.

    Attributes:
        weight: float32 `[out, in, ky, kx]`, whole numbers.
        threshold, lowest: whole numbers; `lowest` is None where the layer has no lower bound.
        scale: integers per threshold.
        limited_by: the term that set the scale.
    """

    weight: Singles
    threshold: int
    lowest: int | None
    scale: float
    limited_by: str


def joint_scale(layer: FoldedLayer, most: float, limited_by: str) -> JointScale:
    """Scale a layer as sinabs does.

    Two of sinabs' traps are left out: a lower bound that is not given counts as -32768 there, so
    that all weights become zero; and initial states may leave 16 bits.

    Args:
        layer: with one threshold for all channels, or several, of which 1 stands for each.
        most: the largest scale at which the initial states fit, in integers per threshold.
        limited_by: what sets `most`.
    """
    own = layer.recipe.firing_threshold
    unit = float(own) if own.ndim == 0 else 1.0
    weight, bias = (np.asarray(v * unit, dtype=np.float32) for v in (layer.weight, layer.bias))
    high = np.float32(unit)
    clip = layer.recipe.lower_clip
    low = None if clip is None else np.float32(-clip * unit)
    bounds = np.array([high if low is None else low, high], dtype=np.float32)
    terms = {
        "weights": _scale(weight, WEIGHT_LOW, WEIGHT_HIGH),
        "bias": _scale(bias, WEIGHT_LOW, WEIGHT_HIGH),
        "threshold": _scale(bounds, STATE_LOW, STATE_HIGH),
    }
    found = min(terms, key=lambda name: terms[name])
    scale = terms[found]
    if most / unit < scale * (1 - 1e-6):
        scale, found = np.float32(most / unit), limited_by
    return JointScale(
        weight=np.rint(weight * scale),
        threshold=max(1, int(np.rint(high * scale))),
        lowest=None if low is None else int(np.rint(low * scale)),
        scale=float(scale) * unit,
        limited_by=found,
    )


def _scale(values: Singles, low: int, high: int) -> np.float32:
    """The factor at which all values just lie from `low` to `high`; infinite for zeros.

    PyTorch divides a number by a tensor as its reciprocal times the number, which rounds twice.
    """
    least, largest = np.abs(values.min()), np.abs(values.max())
    limit, bound = (high, largest) if least <= largest * np.float32(-low / high) else (-low, least)
    if bound == 0:
        return np.float32(np.inf)
    return np.float32(np.float32(1.0) / bound * np.float32(limit))
