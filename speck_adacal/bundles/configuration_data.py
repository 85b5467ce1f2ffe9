"""A Speck configuration as plain data and arrays: our own versioned form (`chip.json`).

Written from any samna-like configuration object, and compared with one, so that what a bundle
holds and what would be sent to a chip can be shown to be the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

SCALARS = (
    "return_to_zero",
    "threshold_high",
    "threshold_low",
    "leak_enable",
    "monitor_enable",
    "output_decimator_enable",
    "output_decimator_interval",
)
TENSORS = {"weights": np.int8, "biases": np.int16, "neurons_initial_value": np.int16}


def configuration_to_data(
    configuration: Any, cores: tuple[int, ...]
) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    """The used cores of a configuration.

    Args:
        configuration: samna's (or the virtual) `SpeckConfiguration`.
        cores: indices of the cores in use, in order of the signal.

    Returns:
        Plain data, and the arrays by name `"core<i>.<field>"` in samna's axis order
        (weights int8 `[out][in][x][y]`, initial values int16 `[feature][x][y]`).
    """
    data: dict[str, Any] = {"cores": {}}
    arrays: dict[str, npt.NDArray[Any]] = {}
    for core in cores:
        layer = configuration.cnn_layers[core]
        data["cores"][str(core)] = {
            **{name: _plain(getattr(layer, name)) for name in SCALARS},
            "dimensions": _dimensions(layer.dimensions),
            "destinations": [
                {
                    key: _plain(getattr(destination, key))
                    for key in ("enable", "layer", "pooling", "feature_shift")
                }
                for destination in layer.destinations
            ],
        }
        for name, dtype in TENSORS.items():
            arrays[f"core{core}.{name}"] = np.ascontiguousarray(getattr(layer, name), dtype=dtype)
    return data, arrays


def _dimensions(dimensions: Any) -> dict[str, Any]:
    return {
        "kernel_size": int(dimensions.kernel_size),
        "stride": [int(dimensions.stride.y), int(dimensions.stride.x)],
        "padding": [int(dimensions.padding.y), int(dimensions.padding.x)],
        "input_shape": _shape(dimensions.input_shape),
        "output_shape": _shape(dimensions.output_shape),
    }


def _shape(shape: Any) -> list[int]:
    return [int(shape.feature_count), int(shape.size.y), int(shape.size.x)]


def _plain(value: Any) -> bool | int:
    return value if isinstance(value, bool) else int(value)
