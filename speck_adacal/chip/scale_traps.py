"""Where sinabs' joint scale loses a layer's weights, in words, and the scale that keeps them.

The joint scale must bring the largest weight and bias to 8 bits and both thresholds to 16. One
outlier among weights or biases, or a lower bound far down, leaves the others few integers or none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from speck_adacal.chip.joint_scale import JointScale, joint_scale
from speck_adacal.core_layers import (
    STATE_HIGH,
    STATE_LOW,
    WEIGHT_HIGH,
    WEIGHT_LOW,
    FoldedLayer,
    QuantisedLayer,
    allowed_scale,
)
from speck_adacal.rules.shapes import Violation

Floats = npt.NDArray[np.float64]
# Relative error of a channel's weights, mean over channels: what is worth a word, and by which
# factor another scale must do better.
_WORTH_A_WORD, _BETTER = 0.1, 2.0
_FINER = 2**0.5  # from one candidate to the next


@dataclass(frozen=True)
class OwnScale:
    """The scale that keeps a layer's weights, where the joint scale loses them.

    Attributes:
        scale: integers per threshold.
        clipped: weights that do not fit 8 bits at it.
        error: relative error (rms) of a channel's weights, mean over channels.
        joint_error: the same at the joint scale.
    """

    scale: float
    clipped: int
    error: float
    joint_error: float


def own_scale(layer: FoldedLayer, joint: JointScale, most: float) -> OwnScale | None:
    """The scale at which channels lose least, or None where the joint scale is sound.

    Args:
        layer: the folded layer.
        joint: its integers by the joint scale.
        most: the largest scale at which thresholds and initial states fit 16 bits.
    """
    now = _channel_error(layer.weight, joint.weight, joint.threshold)
    if now <= _WORTH_A_WORD:
        return None
    first = min(most, allowed_scale(layer.weight, WEIGHT_LOW, WEIGHT_HIGH))
    steps = max(0, int(np.log(most / first) / np.log(_FINER)))
    scales = first * _FINER ** np.arange(steps + 1)
    errors = [_channel_error(layer.weight, *_integers(layer.weight, scale)) for scale in scales]
    best = int(np.argmin(errors))
    if errors[best] * _BETTER > now:
        return None
    wanted = np.rint(layer.weight * scales[best])
    clipped = int(np.count_nonzero((wanted < WEIGHT_LOW) | (wanted > WEIGHT_HIGH)))
    return OwnScale(float(scales[best]), clipped, errors[best], now)


def joint_scale_warnings(layers: Sequence[QuantisedLayer]) -> tuple[Violation, ...]:
    """A warning for each layer that came spiking whose weights sinabs' joint scale loses."""
    return tuple(
        _warning(layer, better)
        for layer in layers
        if layer.folded.recipe.as_is and (better := _better(layer)) is not None
    )


def _better(layer: QuantisedLayer) -> OwnScale | None:
    most = min(float(STATE_HIGH), allowed_scale(layer.start, STATE_LOW, STATE_HIGH))
    return own_scale(layer.folded, joint_scale(layer.folded, most, "initial"), most)


def _warning(layer: QuantisedLayer, better: OwnScale) -> Violation:
    clipped = f"{better.clipped} of {layer.weight.size} weights clipped"
    if layer.folded.recipe.mended:
        found = f"a scale of its own in place of sinabs' joint scale, with {clipped}"
        advice = "compare its decisions with those of the network as it came"
    else:
        found = (
            f"a scale set by its {layer.limited_by}, at which channels lose "
            f"{better.joint_error:.0%} of their weights (rms, mean over channels), where "
            f"{better.error:.0%} would do, with {clipped}"
        )
        advice = "import it with --mend-scale (mend_scale=True), or train without the outlier"
    allowed = f"less than {_WORTH_A_WORD:.0%}"
    return Violation("joint-scale", layer.folded.name, found, allowed, advice, severity="warning")


def _integers(weight: Floats, scale: float) -> tuple[Floats, int]:
    return np.clip(np.rint(weight * scale), WEIGHT_LOW, WEIGHT_HIGH), max(1, round(scale))


def _channel_error(weight: Floats, integers: npt.NDArray[np.floating], threshold: int) -> float:
    rows = weight.reshape(len(weight), -1)
    alive = rows.any(axis=1)
    error = integers.reshape(rows.shape)[alive] / threshold - rows[alive]
    relative = np.sqrt(np.mean(error**2, axis=1) / np.mean(rows[alive] ** 2, axis=1))
    return float(relative.mean()) if len(relative) else 0.0
