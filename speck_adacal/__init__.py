"""Adaptive Calibration for the SynSense Speck.

The public names are loaded on first use, so that importing the package costs
neither torch nor tonic nor matplotlib.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_PUBLIC: dict[str, str] = {
    "AdaptPlan": "speck_adacal.adaptation.plan",
    "AdaptSettings": "speck_adacal.recipe.recipe",
    "AdaptedNetwork": "speck_adacal.snn.adapted",
    "Deployment": "speck_adacal.chip.deploy",
    "Events": "speck_adacal.events.types",
    "Recipe": "speck_adacal.recipe.recipe",
    "Simulation": "speck_adacal.chip.simulation",
    "SpeckAdacalError": "speck_adacal.errors",
    "adapt": "speck_adacal.verbs",
    "deploy": "speck_adacal.verbs",
    "load": "speck_adacal.verbs",
    "save": "speck_adacal.verbs",
    "simulate": "speck_adacal.verbs",
}

__all__ = [*sorted(_PUBLIC), "__version__"]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC])
