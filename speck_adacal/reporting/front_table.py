"""The Pareto front by both estimators, as a table and as a figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure
from rich.console import Group, RenderableType

from speck_adacal.bundle import new_file
from speck_adacal.inspection.before_after import BeforeAfter
from speck_adacal.reporting.narrowing import NarrowingTable
from speck_adacal.twin_search.estimators import StepEstimate
from speck_adacal.twin_search.front import Front, FrontPoint

_HEADINGS = (
    "SynOps a recording",
    "accuracy, %",
    "± standard error",
    "log loss that chooses",
    "in time steps, %",
    "gap by layer",
    "",
)


def front_table(
    front: Front, stepped: Sequence[StepEstimate], chosen: FrontPoint | None = None
) -> NarrowingTable:
    """The network as it came, then one row a point, by both estimators; the chosen one is marked.

    The gap is the spikes of each layer on the twin, over those of the time-stepped estimator.
    """
    table = NarrowingTable(
        title=f"Front on the twin of {front.chip} (simulated): searched on {front.searched} "
        f"recordings, chosen by log loss on {front.choosing} others, SynOps and accuracy measured "
        f"on {front.held_out} more"
    )
    for heading in _HEADINGS:
        table.add_column(heading, justify="right")
    table.add_row(*_measured(front.start), "", "", "as it came")
    for point, estimate in zip(front.points, stepped, strict=True):
        table.add_row(
            *_measured(point),
            f"{100 * estimate.accuracy:.1f}",
            " ".join(f"{layer.ratio:.2f}" for layer in estimate.layers),
            "chosen" if point is chosen else "",
        )
    return table


def front_outcome(
    front: Front,
    stepped: Sequence[StepEstimate],
    chosen: FrontPoint,
    change: BeforeAfter,
    files: Mapping[str, Path | None],
) -> RenderableType:
    """The table, what the chosen point changes, what was written, and the next command.

    Args:
        front, stepped, chosen: as for `front_table`.
        change: from the network as it came to the chosen point.
        files: what was written, by `"bundle"` and `"figure"`; None for what was not.
    """
    bundle = files["bundle"]
    written = [f"Written: {path}" for path in files.values() if path is not None]
    following = (
        f"Next: speck-adacal simulate {bundle} --events RECORDINGS.npz"
        if bundle is not None
        else "Next: give --out OUT.bundle to deploy the chosen point, within --max-synops if wanted"
    )
    return Group(front_table(front, stepped, chosen), str(change), *written, following)


def _measured(point: FrontPoint) -> tuple[str, ...]:
    return (
        f"{point.held_out_synops:,.0f}",
        f"{100 * point.accuracy:.1f}",
        f"{100 * point.standard_error:.1f}",
        f"{point.choice_loss:.3f}",
    )


def save_front_figure(
    front: Front, stepped: Sequence[StepEstimate], path: Path, *, force: bool = False
) -> Path:
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
            label="chip twin (simulated), held-out recordings",
        )
        axes.plot(
            [estimate.synops / 1e6 for estimate in stepped],
            [100 * estimate.accuracy for estimate in stepped],
            "s--",
            color="#c96a1b",
            label="time-stepped (estimated), the same recordings",
        )
        axes.legend(frameon=False)
        axes.set_xscale("log")
        axes.set_xlabel("SynOps a recording, millions")
        axes.set_ylabel("accuracy, %")
        axes.grid(alpha=0.3)
        metadata = {"Date": None} if suffix == "svg" else None
        figure.savefig(temporary, format=suffix, metadata=metadata)
    return path
