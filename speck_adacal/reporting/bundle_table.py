"""What a bundle holds, as a table and as plain values."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from speck_adacal.bundle import Bundle
from speck_adacal.chip.deploy import Deployment
from speck_adacal.reporting.recipe_table import recipe_layers, recipe_rows
from speck_adacal.reporting.summary import layer_rows
from speck_adacal.reporting.tables import bias_sentence, layer_table, verdict_lines
from speck_adacal.snn.adapted import AdaptedNetwork

_KEPT = {
    "front.json": "the front it was chosen from",
    "readout.json": "how its output is read",
    "report.html": "its page",
}


def bundle_to_dict(stored: Bundle, loaded: AdaptedNetwork | Deployment) -> dict[str, Any]:
    """Plain values, for JSON."""
    adapted = loaded.adapted if isinstance(loaded, Deployment) else loaded
    manifest, verdict = stored.manifest, adapted.recipe.verdict
    found: dict[str, Any] = {
        "bundle": str(stored.path),
        "kind": manifest.kind,
        "command": manifest.command,
        "tools": manifest.tools,
        "seed": manifest.seed,
        "files": sorted(stored.files),
        "input_shape": list(adapted.ann.input_shape),
        "settings": adapted.recipe.settings.to_dict(),
        "verdict": None if verdict is None else verdict.to_dict(),
    }
    if isinstance(loaded, Deployment):
        rows = [row.to_dict() for row in layer_rows(loaded)]
        return {**found, "chip": loaded.chip, "layers": rows}
    return {**found, "layers": recipe_rows(adapted)}


def bundle_view(stored: Bundle, loaded: AdaptedNetwork | Deployment) -> RenderableType:
    """The same for people."""
    adapted = loaded.adapted if isinstance(loaded, Deployment) else loaded
    settings, manifest = adapted.recipe.settings, stored.manifest
    shape = " × ".join(map(str, adapted.ann.input_shape))
    heading = [
        f"{stored.path}: {manifest.kind}, input {shape}, T = {settings.time_steps}",
        f"Made by: {manifest.command}",
        "With: " + ", ".join(f"{tool} {version}" for tool, version in manifest.tools.items()),
    ]
    kept = [what for name, what in _KEPT.items() if name in stored.files]
    said = verdict_lines(adapted.recipe.verdict)
    verdict = [Text("When it was adapted, on calibration samples:"), *said] if said else []
    return Group(
        *map(Text, heading),
        *_layers(loaded),
        *verdict,
        *([Text(f"It keeps {', '.join(kept)}.")] if kept else []),
    )


def _layers(loaded: AdaptedNetwork | Deployment) -> list[RenderableType]:
    if isinstance(loaded, Deployment):
        table = layer_table(layer_rows(loaded), f"On the cores of {loaded.chip}")
        return [table, Text(bias_sentence(loaded))]
    return [recipe_layers(loaded, "Adapted, not deployed yet")]
