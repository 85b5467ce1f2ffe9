"""What was taken from a network that came spiking, layer by layer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Group, RenderableType

from speck_adacal.reporting.narrowing import NarrowingTable
from speck_adacal.snn.adapted import AdaptedNetwork
from speck_adacal.snn.layer_names import layer_names
from speck_adacal.snn.stock import ASSUMED, CAME, UNBOUNDED

_SENTENCES = {
    ASSUMED: "The output {name!r} does not spike: it gets a threshold of 1, which the chip needs.",
    UNBOUNDED: (
        "{name!r} has min_v_mem=None, for which sinabs' own discretisation takes -32768, so that "
        "its weights become zero; here the bound stays open, and the weights stay."
    ),
}


def imported_layers(adapted: AdaptedNetwork) -> list[dict[str, Any]]:
    """Thresholds and lower clips as they were taken, for JSON; thresholds in the network's unit."""
    own, names = _thresholds(adapted), layer_names(adapted.graph, adapted.recipe)
    return [
        {
            "name": names[layer.name],
            "neurons": layer.name,
            "threshold": own.get(layer.name, float(np.mean(layer.threshold))),
            "lower_clip_thresholds": layer.lower_clip,
            "readout": layer.readout,
        }
        for layer in adapted.recipe.layers
    ]


def import_table(adapted: AdaptedNetwork, out: Path) -> RenderableType:
    """The layers, what was assumed, and the next command."""
    table = NarrowingTable(title="A network that came spiking: kept as it is")
    for column in ("layer", "threshold", "lowest potential"):
        table.add_column(column, justify="left" if column == "layer" else "right")
    for row in imported_layers(adapted):
        clip = row["lower_clip_thresholds"]
        lowest = "open" if clip is None else f"{-clip * row['threshold']:.4g}"
        name = row["name"] + (" (readout)" if row["readout"] else "")
        table.add_row(name, f"{row['threshold']:.4g}", lowest)
    said = [
        _SENTENCES[record.step].format(name=name)
        for record in adapted.recipe.trace
        if record.step in _SENTENCES
        for name in record.values
    ]
    following = f"Next: speck-adacal deploy {out} --out OUT.bundle"
    return Group(table, *said, f"Written: {out}", following)


def _thresholds(adapted: AdaptedNetwork) -> dict[str, float]:
    for record in adapted.recipe.trace:
        if record.step == CAME:
            return dict(record.values)
    return {}
