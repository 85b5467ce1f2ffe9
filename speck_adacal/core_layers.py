"""A layer as one core holds it: in thresholds (folded), and in the chip's integers (quantised)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from speck_adacal.recipe.recipe import LayerRecipe

WEIGHT_LOW, WEIGHT_HIGH = -128, 127
STATE_LOW, STATE_HIGH = -(2**15), 2**15 - 1

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class FoldedLayer:
    """One core's worth of network, in float.

    Attributes:
        name: the node with the weights in the layer graph.
        recipe: the values adaptation chose for the layer's neurons.
        weight: float64 `[out, in, ky, kx]` in thresholds of this layer.
        bias: float64 `[out]` per time step, in thresholds.
        initial: float64 `[out, height, width]` membrane potential at the start, in thresholds.
        in_shape: `(channels, height, width)` of the input map.
        out_shape: `(channels, height, width)` of the neuron map, before pooling.
        stride: `(y, x)`.
        padding: `(y, x)`.
        pool: edge of the sum pooling behind the neurons (1 = none).
        sources: positions of the layers whose spikes this one reads; empty where it reads the
            network's input. Several add up: the same weights serve them all.
        shifts: for each source, the channel of this layer at which its own begin.
    """

    name: str
    recipe: LayerRecipe
    weight: Floats
    bias: Floats
    initial: Floats
    in_shape: tuple[int, int, int]
    out_shape: tuple[int, int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    pool: int = 1
    sources: tuple[int, ...] = ()
    shifts: tuple[int, ...] = ()


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
        bias: int16 `[out]`, added at each tick of the slow clock; zeros unless it leaks.
        scale: integers per threshold, before rounding.
        limited_by: the term that set the scale: `"weights"`, `"threshold"`, `"bias"` (of a leak)
            or `"initial"` (a bias so large that the initial state would leave 16 bits).
        window_steps: time steps whose bias is folded into `initial`; 0 where it leaks.
    """

    folded: FoldedLayer
    weight: npt.NDArray[np.int8]
    threshold: int
    threshold_low: int
    initial: npt.NDArray[np.int16]
    bias: npt.NDArray[np.int16]
    scale: float
    limited_by: str
    window_steps: int

    @property
    def start(self) -> npt.NDArray[np.float64]:
        """The exact value of `initial`: float64 `[out, height, width]` in thresholds."""
        return start_of(self.folded, self.window_steps)

    @property
    def distinct_levels(self) -> int:
        """Number of different weight values that survive."""
        return len(np.unique(self.weight))

    @property
    def saturated(self) -> int:
        """Initial states that had to be clipped to 16 bits."""
        wanted = np.rint(self.start * self.scale)
        return int(np.count_nonzero((wanted < STATE_LOW) | (wanted > STATE_HIGH)))


def start_of(layer: FoldedLayer, window_steps: int) -> Floats:
    return layer.initial + window_steps * layer.bias[:, None, None]


def allowed_scale(values: Floats, low: int, high: int) -> float:
    """The largest factor at which all values lie from `low` to `high`; infinite for zeros."""
    lowest, highest = float(values.min()), float(values.max())
    return min(high / highest if highest > 0 else np.inf, low / lowest if lowest < 0 else np.inf)
