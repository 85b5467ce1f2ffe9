"""A recipe, layer by layer, as a table and as plain values."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Group, RenderableType

from speck_adacal.reporting.narrowing import NarrowingTable
from speck_adacal.reporting.tables import verdict_lines
from speck_adacal.snn.adapted import AdaptedNetwork
from speck_adacal.snn.layer_names import layer_names


def recipe_table(adapted: AdaptedNetwork, out: Path) -> RenderableType:
    """The recipe, layer by layer, and the next command."""
    recipe, settings = adapted.recipe, adapted.recipe.settings
    done = [r.step.split(":")[1] for r in recipe.trace if r.step.startswith("correction:")]
    title = f"Recipe: T = {settings.time_steps}, correction: {(done or [settings.correction])[-1]}"
    if recipe.first_step > 1:
        title += f"; steps {recipe.first_step} to {settings.time_steps} decide"
    return Group(
        recipe_layers(adapted, title),
        *verdict_lines(adapted.recipe.verdict),
        f"Written: {out}",
        f"Next: speck-adacal deploy {out} --out OUT.bundle",
    )


def _threshold(values: Sequence[float]) -> str:
    mean = f"{float(np.mean(values)):.4g}"
    return mean if len(values) == 1 else f"{mean} (mean of {len(values)} channels)"


def recipe_rows(adapted: AdaptedNetwork) -> list[dict[str, Any]]:
    """The recipe's layers as plain values: `name` is that of the layer's weights, as in every
    other verb, `neurons` that of its neurons in the network."""
    names = layer_names(adapted.graph, adapted.recipe)
    return [
        {
            "name": names[layer.name],
            "neurons": layer.name,
            "phi": layer.phi,
            "rho": layer.rho,
            "threshold": np.ravel(layer.threshold).tolist(),
            "readout": layer.readout,
            "lower_clip": layer.lower_clip,
            "leaks": layer.leaks,
        }
        for layer in adapted.recipe.layers
    ]


def recipe_layers(adapted: AdaptedNetwork, title: str) -> NarrowingTable:
    """The recipe, layer by layer."""
    table = NarrowingTable(title=title)
    for column in ("layer", "φ", "ρ", "threshold V_th"):
        table.add_column(column, justify="left" if column == "layer" else "right")
    for row in recipe_rows(adapted):
        name = row["name"] + (" (readout)" if row["readout"] else "")
        table.add_row(name, str(row["phi"]), f"{row['rho']:g}", _threshold(row["threshold"]))
    return table
