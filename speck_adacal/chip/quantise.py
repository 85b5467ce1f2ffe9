"""Quantise a folded layer: 8-bit weights, 16-bit thresholds and states, one scale for all.

The chip adds integer weights to an integer state and compares with an integer threshold, so the
three share one scale. Rounding is half to even, as in sinabs' own discretisation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from speck_adacal.chip.fold import FoldedLayer
from speck_adacal.errors import DesignRuleError

WEIGHT_LOW, WEIGHT_HIGH = -128, 127
STATE_LOW, STATE_HIGH = -(2**15), 2**15 - 1


@dataclass(frozen=True, eq=False)
class QuantisedLayer:
    """The integers of one core, and what quantisation did to the layer.

    Attributes:
        folded: the layer in float.
        weight: int8 `[out, in, ky, kx]`.
        threshold: `threshold_high` of the core; the neuron fires at `state >= threshold`.
        threshold_low: the state's lower bound; the open range by default, since clipping a
            converted network loses charge.
        initial: int16 `[out, height, width]`, the bias of the whole window folded in.
        scale: integers per threshold, before rounding.
        limited_by: the term that set the scale: `"weights"` or `"threshold"`.
        window_steps: time steps whose bias is folded into `initial`.
    """

    folded: FoldedLayer
    weight: npt.NDArray[np.int8]
    threshold: int
    threshold_low: int
    initial: npt.NDArray[np.int16]
    scale: float
    limited_by: str
    window_steps: int

    @property
    def distinct_levels(self) -> int:
        """Number of different weight values that survive."""
        return len(np.unique(self.weight))

    @property
    def saturated(self) -> int:
        """Initial states that had to be clipped to 16 bits."""
        return int(np.count_nonzero((self.initial == STATE_LOW) | (self.initial == STATE_HIGH)))


def quantise(layer: FoldedLayer, *, window_steps: int) -> QuantisedLayer:
    """Quantise one layer; a bias becomes charge in the initial state.

    Folding `window_steps` steps of bias into the initial state is exact in total charge for a
    window of that length, and spares the chip's slow-clock leak.

    Args:
        layer: the folded layer, in thresholds.
        window_steps: length of the window in time steps.

    Raises:
        DesignRuleError: all weights round to zero, so that the layer could never fire.
    """
    scale, limited_by = _scale(layer)
    weight = np.clip(np.rint(layer.weight * scale), WEIGHT_LOW, WEIGHT_HIGH)
    if not weight.any():
        raise DesignRuleError(
            f"Layer {layer.name!r}: all weights round to zero at {scale:.3g} integers per "
            f"threshold (largest |weight| is {np.abs(layer.weight).max():.3g} thresholds), so it "
            "could never fire; lower its threshold, or remove the outlier that sets the scale."
        )
    start = layer.initial + window_steps * layer.bias[:, None, None]
    return QuantisedLayer(
        folded=layer,
        weight=weight.astype(np.int8),
        threshold=max(1, int(np.rint(scale))),
        threshold_low=STATE_LOW,
        initial=np.clip(np.rint(start * scale), STATE_LOW, STATE_HIGH).astype(np.int16),
        scale=scale,
        limited_by=limited_by,
        window_steps=window_steps,
    )


def _scale(layer: FoldedLayer) -> tuple[float, str]:
    """The largest scale at which every weight fits 8 bits and the threshold 16 bits."""
    low, high = float(layer.weight.min()), float(layer.weight.max())
    by_weights = min(
        WEIGHT_HIGH / high if high > 0 else np.inf,
        WEIGHT_LOW / low if low < 0 else np.inf,
    )
    if by_weights <= STATE_HIGH:
        return float(by_weights), "weights"
    return float(STATE_HIGH), "threshold"
