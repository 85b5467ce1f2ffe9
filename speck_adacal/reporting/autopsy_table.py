"""A quantisation autopsy as tables, and as plain values."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from rich.console import Group, RenderableType

from speck_adacal.inspection.autopsy import Autopsy
from speck_adacal.reporting.narrowing import NarrowingTable

_MOST_NAMED = 8


def autopsy_to_dict(autopsy: Autopsy) -> dict[str, Any]:
    """Plain values, for JSON; a limit that does not bind is null."""
    result = {"kind": "simulated", **asdict(autopsy)}
    for layer in result["layers"]:
        layer["limits"] = {
            term: value if math.isfinite(value) else None for term, value in layer["limits"].items()
        }
    return result


def autopsy_view(autopsy: Autopsy) -> RenderableType:
    """What 8 bits left of every layer and, where samples were simulated, what the layers did."""
    parts: list[RenderableType] = [_values(autopsy)]
    if autopsy.samples:
        parts.append(_activity(autopsy))
    else:
        parts.append("Give --samples-from to see dead channels and where the error comes from.")
    return Group(*parts)


def _values(autopsy: Autopsy) -> NarrowingTable:
    table = NarrowingTable(
        title="What 8 bits left of each layer; in brackets, by sinabs' joint scale"
    )
    for column in ("layer", "scale", "limited by", "levels", "weight error", "zeroed", "mute"):
        table.add_column(column, justify="left" if column == "layer" else "right")
    for layer in autopsy.layers:
        table.add_row(
            layer.name,
            f"{layer.scale:.4g} ({layer.sinabs_scale:.4g})",
            f"{layer.limited_by} ({layer.sinabs_limited_by})",
            f"{layer.levels} ({layer.sinabs_levels})",
            f"{layer.weight_error:.2%} ({layer.sinabs_weight_error:.2%})",
            f"{layer.silenced_weights:.2%}",
            _channels(layer.mute_channels),
        )
    return table


def _activity(autopsy: Autopsy) -> NarrowingTable:
    table = NarrowingTable(title=f"Simulated on the {autopsy.chip} twin, {autopsy.samples} samples")
    for column in ("layer", "spikes", "dead", "always on", "layer error", "cumulative error"):
        table.add_column(column, justify="left" if column == "layer" else "right")
    for layer in autopsy.layers:
        if (activity := layer.activity) is None:
            continue
        total = activity.cumulative_error
        table.add_row(
            layer.name,
            f"{activity.spikes:,.0f}",
            _channels(activity.dead_channels),
            _channels(activity.always_on_channels),
            f"{activity.layer_error:.2%}",
            "silent" if total is None else f"{total:.1%}",
        )
    return table


def _channels(channels: tuple[int, ...]) -> str:
    """How many channels, and which, where they are few."""
    if not channels:
        return "0"
    few = len(channels) <= _MOST_NAMED
    return f"{len(channels)}: {', '.join(map(str, channels))}" if few else str(len(channels))
