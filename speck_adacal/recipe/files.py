"""A recipe as plain data (for JSON) and named tensors (for safetensors), and back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from speck_adacal.errors import BundleError, SettingsError
from speck_adacal.events.constant import ConstantChannel
from speck_adacal.recipe.recipe import AdaptSettings, LayerRecipe, Recipe, StepRecord

_POTENTIAL = "initial_potential/"


def recipe_to_data(recipe: Recipe) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Split a recipe into plain data and tensors (the initial potentials can be large)."""
    layers = [
        {
            "name": layer.name,
            "phi": layer.phi,
            "rho": layer.rho,
            "threshold": np.asarray(layer.threshold).tolist(),
            "readout": layer.readout,
            "lower_clip": layer.lower_clip,
        }
        for layer in recipe.layers
    ]
    data = {
        "settings": recipe.settings.to_dict(),
        "input_amplitude": recipe.input_amplitude,
        "layers": layers,
        "trace": [
            {"step": record.step, "seconds": record.seconds, "values": _finite(record.values)}
            for record in recipe.trace
        ],
    }
    if recipe.constant is not None:
        data["constant"] = asdict(recipe.constant)
    tensors = {
        _POTENTIAL + layer.name: torch.tensor(layer.initial_potential, dtype=torch.float64)
        for layer in recipe.layers
    }
    return data, tensors


def _finite(values: Mapping[str, float]) -> dict[str, float]:
    """What was measured; without labels, say, an accuracy is not a number."""
    return {name: value for name, value in values.items() if math.isfinite(value)}


def recipe_from_data(data: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> Recipe:
    """Rebuild a recipe.

    Raises:
        BundleError: a field is missing, unknown or of the wrong type.
    """
    try:
        return Recipe(
            settings=AdaptSettings(**data["settings"]),
            layers=tuple(_layer(entry, tensors) for entry in data["layers"]),
            trace=tuple(StepRecord(**record) for record in data["trace"]),
            input_amplitude=float(data["input_amplitude"]),
            constant=_constant(data.get("constant")),
        )
    except (KeyError, TypeError, ValueError, SettingsError) as error:
        raise BundleError(f"The stored recipe is malformed ({error!r}); make it again.") from error


def _constant(data: Mapping[str, Any] | None) -> ConstantChannel | None:
    if data is None:
        return None
    rows, columns = (tuple(int(place) for place in data[axis]) for axis in ("rows", "columns"))
    return ConstantChannel(rows, columns, int(data["rate"]), float(data["step_us"]))


def _layer(entry: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> LayerRecipe:
    return LayerRecipe(
        name=entry["name"],
        phi=entry["phi"],
        rho=entry["rho"],
        threshold=np.asarray(entry["threshold"], dtype=np.float64),
        initial_potential=tensors[_POTENTIAL + entry["name"]].numpy(),
        readout=entry["readout"],
        lower_clip=None if entry.get("lower_clip") is None else float(entry["lower_clip"]),
    )
