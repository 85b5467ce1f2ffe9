"""A network that is never reset, beside one that is reset before each recording, in figures."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Group, RenderableType
from rich.text import Text

from speck_adacal.chip.simulation import Simulation
from speck_adacal.host.stream_exits import StreamExits
from speck_adacal.inspection.continuous import ContinuousSimulation
from speck_adacal.recipe.verdict import fall_never_reset
from speck_adacal.reporting.narrowing import NarrowingTable


def stream_to_dict(
    stream: ContinuousSimulation, apart: Simulation, labels: npt.NDArray[np.int64] | None
) -> dict[str, Any]:
    """Plain values, for JSON.

    Args:
        stream: recordings on end, never reset.
        apart: the same recordings, with a reset before each.
        labels: int64 `[n]`, where they are known.
    """
    found: dict[str, Any] = {
        "recordings": len(stream),
        "duration_us": int(stream.moments_us[-1]) if len(stream.moments_us) else 0,
        "window_us": stream.window_us,
        "synops_per_sample": float(stream.synops.mean()),
        "synops_per_sample_reset_each": float(apart.synops.mean()),
    }
    if labels is None:
        return found
    reaction = stream.reaction_us(labels)
    drift, error = stream.drift(labels)
    accuracy, reset_each = stream.accuracy(labels), apart.accuracy(labels)
    return found | {
        "accuracy": accuracy,
        "accuracy_reset_each": reset_each,
        "sliding_accuracy": stream.sliding_accuracy(labels),
        "reaction_us_median": _finite(np.median(reaction)) if len(reaction) else None,
        "changes_missed": float(np.mean(np.isinf(reaction))) if len(reaction) else 0.0,
        "drift": drift,
        "drift_standard_error": error,
        "warning": fall_never_reset(reset_each, accuracy),
    }


def stream_table(
    stream: ContinuousSimulation, apart: Simulation, labels: npt.NDArray[np.int64] | None
) -> RenderableType:
    """The same as a table, with a warning where the network needs its resets."""
    found = stream_to_dict(stream, apart, labels)
    minutes = found["duration_us"] / 60e6
    table = NarrowingTable(
        "what", "value", title=f"Never reset: {minutes:.1f} minutes on end (simulated)"
    )
    table.add_row("SynOps a recording", f"{found['synops_per_sample']:,.0f}")
    if labels is None:
        return table
    table.add_row("accuracy, never reset", f"{found['accuracy']:.2%}")
    table.add_row("accuracy, a reset before each", f"{found['accuracy_reset_each']:.2%}")
    window = f"sliding window of {stream.window_us / 1000:g} ms"
    table.add_row(f"right at any moment, {window}", f"{found['sliding_accuracy']:.2%}")
    if found["reaction_us_median"] is not None:
        reaction = f"{found['reaction_us_median'] / 1000:.1f} ms"
        table.add_row("from a change of scene to the right decision, median", reaction)
    table.add_row("changes never noticed", f"{found['changes_missed']:.2%}")
    drift, error = 100 * found["drift"], 100 * found["drift_standard_error"]
    table.add_row("last sixth against the first, points", f"{drift:+.2f} ± {error:.2f}")
    warning = found["warning"]
    return Group(table, Text(f"Warning: {warning}", style="bold")) if warning else table


def exits_to_dict(found: StreamExits, labels: npt.NDArray[np.int64] | None) -> dict[str, Any]:
    """Plain values of decisions on the way, for JSON; arguments as for `stream_to_dict`."""
    values: dict[str, Any] = {
        "decisions": len(found.labels),
        "synops_per_s": found.synops_per_s,
        "events_spared": found.spared,
    }
    if labels is None:
        return values
    latency, right = found.latency_us(labels), found.right(labels)
    return values | {
        "right": _finite(right),
        "latency_us_median": _finite(np.median(latency)),
        "changes_missed": float(np.mean(np.isinf(latency))),
    }


def exits_table(found: StreamExits, labels: npt.NDArray[np.int64] | None) -> NarrowingTable:
    """The same as a table."""
    values = exits_to_dict(found, labels)
    table = NarrowingTable("what", "value", title="Decisions on the way, never reset (simulated)")
    table.add_row("decisions", f"{values['decisions']:,}")
    table.add_row("SynOps/s", f"{values['synops_per_s']:,.0f}")
    table.add_row("input events not fed", f"{values['events_spared']:.1%}")
    if labels is None:
        return table
    if values["right"] is not None:
        table.add_row("right decisions", f"{values['right']:.2%}")
    latency = values["latency_us_median"]
    said = "never, for most" if latency is None else f"{latency / 1000:.1f} ms"
    table.add_row("from a change of scene to the first right decision, median", said)
    table.add_row("changes never noticed", f"{values['changes_missed']:.2%}")
    return table


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
