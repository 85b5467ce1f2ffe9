"""A recipe as plain data (for JSON) and named tensors (for safetensors), and back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from speck_adacal.errors import BundleError
from speck_adacal.events.constant import ConstantChannel
from speck_adacal.recipe.recipe import AdaptSettings, LayerRecipe, Recipe, StepRecord
from speck_adacal.recipe.verdict import Verdict
from speck_adacal.validation import Count, Positive, checked, from_data

_Row = tuple[float, ...]
_POTENTIAL = "initial_potential/"
_STEP_BIAS = "step_bias/"


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
            "leaks": layer.leaks,
            "as_is": layer.as_is,
            "signed": layer.signed,
            "mended": layer.mended,
        }
        for layer in recipe.layers
    ]
    data = {
        "settings": recipe.settings.to_dict(),
        "input_amplitude": recipe.input_amplitude,
        "first_step": recipe.first_step,
        "layers": layers,
        "trace": [
            {"step": record.step, "values": _finite(record.values)} for record in recipe.trace
        ],
    }
    if recipe.constant is not None:
        data["constant"] = asdict(recipe.constant)
    if recipe.step_us is not None:
        data["step_us"] = recipe.step_us
    if recipe.verdict is not None:
        data["verdict"] = recipe.verdict.to_dict()
    tensors = {
        _POTENTIAL + layer.name: torch.tensor(layer.initial_potential, dtype=torch.float64)
        for layer in recipe.layers
    }
    tensors |= {
        _STEP_BIAS + layer.name: torch.tensor(layer.step_bias, dtype=torch.float64)
        for layer in recipe.layers
        if layer.step_bias is not None
    }
    return data, tensors


def _finite(values: Mapping[str, float]) -> dict[str, float]:
    """What was measured; without labels, say, an accuracy is not a number."""
    return {name: value for name, value in values.items() if math.isfinite(value)}


@checked
class _StoredLayer:
    """A layer's values but for its initial potential, which is a tensor."""

    name: str
    phi: Count
    rho: Positive
    threshold: float | _Row | tuple[_Row, ...] | tuple[tuple[_Row, ...], ...]
    readout: bool
    lower_clip: Positive | None = None
    leaks: bool = False
    as_is: bool = False
    signed: bool = False
    mended: bool = False


@checked
class _StoredRecipe:
    """What `recipe_to_data` writes."""

    settings: AdaptSettings
    layers: tuple[_StoredLayer, ...]
    trace: tuple[StepRecord, ...]
    input_amplitude: Positive
    exit_rule: Any = None  # of older bundles, where it acted nowhere: read and left out
    constant: ConstantChannel | None = None
    step_us: Positive | None = None
    verdict: Verdict | None = None
    first_step: Count = 1


def recipe_from_data(data: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> Recipe:
    """Rebuild a recipe.

    Raises:
        BundleError: a field is missing, unknown or of the wrong type; the message names it.
    """
    stored = from_data(_StoredRecipe, data, "The stored recipe", BundleError, "make it again")
    return Recipe(
        settings=stored.settings,
        layers=tuple(_layer(layer, tensors) for layer in stored.layers),
        trace=stored.trace,
        input_amplitude=stored.input_amplitude,
        constant=stored.constant,
        step_us=stored.step_us,
        verdict=stored.verdict,
        first_step=stored.first_step,
    )


def _layer(stored: _StoredLayer, tensors: Mapping[str, torch.Tensor]) -> LayerRecipe:
    potential = tensors.get(_POTENTIAL + stored.name)
    step_bias = tensors.get(_STEP_BIAS + stored.name)
    if potential is None:
        raise BundleError(
            f"The stored recipe has no initial potential of layer {stored.name!r}; make it again."
        )
    return LayerRecipe(
        name=stored.name,
        phi=stored.phi,
        rho=stored.rho,
        threshold=np.asarray(stored.threshold, dtype=np.float64),
        initial_potential=potential.numpy(),
        readout=stored.readout,
        lower_clip=stored.lower_clip,
        leaks=stored.leaks,
        as_is=stored.as_is,
        signed=stored.signed,
        mended=stored.mended,
        step_bias=None if step_bias is None else step_bias.numpy(),
    )
