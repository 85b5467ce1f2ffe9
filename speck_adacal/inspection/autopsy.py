"""What quantisation did to every layer of a deployment, and where the accuracy went.

The values of a layer (scale, levels, rounding) need no samples; activity and errors do. For
comparison every layer also shows what sinabs' joint scale would have made of the same values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from speck_adacal.chip.deploy import Deployment
from speck_adacal.chip.quantise import weight_error
from speck_adacal.core_layers import (
    STATE_HIGH,
    STATE_LOW,
    WEIGHT_HIGH,
    WEIGHT_LOW,
    QuantisedLayer,
    allowed_scale,
)
from speck_adacal.inspection.autopsy_activity import LayerActivity, measure_activity


@dataclass(frozen=True)
class LayerAutopsy:
    """One layer on its core. Scales are integers per firing threshold.

    Attributes:
        name: the layer with the weights.
        core: index of its core.
        scale: scale in use.
        limited_by: the term that set it.
        limits: for `weights`, `threshold` and `initial`, the largest scale that each would allow
            (infinite where the term is absent); the least of them sets it.
        levels: different weight values that survive.
        weight_error: root mean square of the rounding of the weights, relative to theirs.
        silenced_weights: share of the weights other than zero that became zero.
        clipped_states: initial states clipped to 16 bits.
        sinabs_scale, sinabs_limited_by, sinabs_levels, sinabs_weight_error: the same under
            sinabs' joint scale, in which an unset lower clip (-2¹⁵ *before* scaling) and the
            largest bias (8 bits) count as well.
        mute_channels: channels that no input could ever make fire.
        activity: what the twin showed on samples; `None` without samples.
    """

    name: str
    core: int
    scale: float
    limited_by: str
    limits: Mapping[str, float]
    levels: int
    weight_error: float
    silenced_weights: float
    clipped_states: int
    sinabs_scale: float
    sinabs_limited_by: str
    sinabs_levels: int
    sinabs_weight_error: float
    mute_channels: tuple[int, ...]
    activity: LayerActivity | None = None


@dataclass(frozen=True)
class Autopsy:
    """All layers in order of the signal, the readout last; `samples` is how many were simulated."""

    chip: str
    layers: tuple[LayerAutopsy, ...]
    samples: int


def autopsy(deployment: Deployment, samples: Any = None) -> Autopsy:
    """Look at every layer of a deployment.

    Args:
        deployment: the result of `deploy`.
        samples: images `[n, channels, height, width]` (0 to 1) or recordings; without them only
            what the values themselves show.

    Raises:
        CalibrationError: the samples are empty, of a wrong shape or range.
    """
    found: tuple[LayerActivity | None, ...] = (None,) * len(deployment.layers)
    count = 0
    if samples is not None:
        count, found = measure_activity(deployment, samples)
    layers = tuple(
        _layer(layer, core, activity)
        for layer, core, activity in zip(deployment.layers, deployment.cores, found, strict=True)
    )
    return Autopsy(deployment.chip, layers, count)


def sinabs_limits(layer: QuantisedLayer) -> dict[str, float]:
    """The scale that each term allows in `sinabs.backend.dynapcnn.discretize` (3.1), which takes
    the smallest: weights and biases have 8 bits, thresholds and states 16."""
    folded = layer.folded
    return {
        "weights": allowed_scale(folded.weight, WEIGHT_LOW, WEIGHT_HIGH),
        "bias": allowed_scale(folded.bias, WEIGHT_LOW, WEIGHT_HIGH),
        "lower clip": 1.0,  # unset, it counts as -2¹⁵ thresholds
        "threshold": float(STATE_HIGH),
        "initial": allowed_scale(folded.initial, STATE_LOW, STATE_HIGH),
    }


def _layer(layer: QuantisedLayer, core: int, activity: LayerActivity | None) -> LayerAutopsy:
    weight = layer.folded.weight
    stock = sinabs_limits(layer)
    stock_limit = min(stock, key=lambda term: stock[term])
    stock_weight = np.rint(weight * stock[stock_limit])
    alive = weight != 0
    return LayerAutopsy(
        name=layer.folded.name,
        core=core,
        scale=layer.scale,
        limited_by=layer.limited_by,
        limits={
            "weights": allowed_scale(weight, WEIGHT_LOW, WEIGHT_HIGH),
            "threshold": float(STATE_HIGH),
            "initial": allowed_scale(layer.start, STATE_LOW, STATE_HIGH),
        },
        levels=layer.distinct_levels,
        weight_error=weight_error(weight, layer.weight, layer.threshold),
        silenced_weights=float(np.mean(layer.weight[alive] == 0)) if alive.any() else 0.0,
        clipped_states=layer.saturated,
        sinabs_scale=stock[stock_limit],
        sinabs_limited_by=stock_limit,
        sinabs_levels=len(np.unique(stock_weight)),
        sinabs_weight_error=weight_error(weight, stock_weight, round(stock[stock_limit])),
        mute_channels=_mute(layer),
        activity=activity,
    )


def _mute(layer: QuantisedLayer) -> tuple[int, ...]:
    """Channels that start below the threshold and that nothing lifts."""
    channels = len(layer.weight)
    lifted = layer.weight.reshape(channels, -1).max(axis=1) > 0
    charged = layer.initial.reshape(channels, -1).max(axis=1) >= layer.threshold
    return tuple(np.flatnonzero(~lifted & ~charged).tolist())
