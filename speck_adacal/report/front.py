"""The Pareto front as a table and as a figure; every figure in it is simulated on the twin."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure
from rich.table import Table

from speck_adacal.bundle import new_file
from speck_adacal.chip.twin_search.front import Front, FrontPoint


def front_table(front: Front, chosen: FrontPoint | None = None) -> Table:
    """One row a point; the chosen one is marked."""
    table = Table(
        title=f"Front on the twin of {front.chip} (simulated; accuracy on {front.held_out} "
        f"recordings that the search did not see)"
    )
    for heading in ("SynOps a recording", "accuracy, %", "± standard error", "log loss", ""):
        table.add_column(heading, justify="right")
    for point in front.points:
        table.add_row(
            f"{point.held_out_synops:,.0f}",
            f"{point.accuracy:.1%}"[:-1],
            f"{100 * point.standard_error:.1f}",
            f"{point.loss:.3f}",
            "chosen" if point is chosen else "",
        )
    return table


def save_front_figure(front: Front, path: Path, *, force: bool = False) -> Path:
    """Write the front as SVG, PNG or PDF, by the file's suffix, whole or not at all.

    Raises:
        OutputExistsError: `path` exists and `force` is False.
    """
    style = {"svg.fonttype": "none", "svg.hashsalt": "speck-adacal front"}
    suffix = path.suffix.lstrip(".") or "svg"
    with mpl.rc_context(style), new_file(path, force=force) as temporary:
        figure = Figure(figsize=(6.4, 3.8), layout="constrained")
        axes = figure.subplots()
        axes.errorbar(
            [point.held_out_synops / 1e6 for point in front.points],
            [100 * point.accuracy for point in front.points],
            yerr=[100 * point.standard_error for point in front.points],
            fmt="o-",
            capsize=3,
            color="#3567b5",
        )
        axes.set_xscale("log")
        axes.set_xlabel("SynOps a recording, millions (simulated on the twin)")
        axes.set_ylabel("accuracy on held-out recordings, %")
        axes.grid(alpha=0.3)
        metadata = {"Date": None} if suffix == "svg" else None
        figure.savefig(temporary, format=suffix, metadata=metadata)
    return path
