"""Figures of a deployment, as inline SVG for the page or as files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from speck_adacal.bundle import new_file, refuse_existing
from speck_adacal.chip_description import load_chip_description
from speck_adacal.reporting.detail_figures import detail_figures
from speck_adacal.reporting.front_files import FrontRow
from speck_adacal.reporting.style import BLUE, GREY, ORANGE, drawn, inline, short_label
from speck_adacal.reporting.summary import Summary


def draw_levels(axes: Axes, summary: Summary) -> None:
    """Accuracy at every level, with standard errors."""
    names = [level.level for level in summary.levels]
    values = [100 * level.accuracy for level in summary.levels]
    errors = [100 * level.standard_error for level in summary.levels]
    axes.errorbar(values, names, xerr=errors, fmt="none", ecolor=GREY, capsize=4)
    axes.scatter(values, names, s=60, color=[GREY, *[BLUE] * (len(values) - 2), ORANGE], zorder=3)
    for name, value in zip(names, values, strict=True):
        axes.annotate(
            f"{value:.1f} %", (value, name), xytext=(0, 8), textcoords="offset points", ha="center"
        )
    axes.set_xlabel("accuracy, % (part of the axis)")
    axes.set_xlim(max(0.0, min(v - e for v, e in zip(values, errors, strict=True)) - 3), 101)
    axes.margins(y=0.2)
    axes.invert_yaxis()


def draw_synops(axes: Axes, summary: Summary) -> None:
    """Simulated SynOps of every layer, mean per sample, with each one's part of all."""
    names = [short_label(row.name) for row in summary.layers]
    at = np.arange(len(names))
    synops = [row.synops or 0.0 for row in summary.layers]
    axes.barh(at, synops, height=0.6, color=BLUE)
    total = max(sum(synops), 1.0)
    for place, value in enumerate(synops):
        said = f" {value:,.0f} ({value / total:.0%})"
        axes.annotate(said, (value, place), va="center", fontsize=10)
    axes.set_yticks(at, names)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.25 * max(*synops, 1.0))
    axes.set_xlabel("SynOps a sample (simulated)")


def draw_memory(axes: Axes, summary: Summary) -> None:
    """Memory in use of every core of the chip, in percent of what the core has."""
    cores = len(load_chip_description(summary.chip).cores)
    used = {row.core: row for row in summary.layers}
    at = np.arange(cores)
    for offset, color, kind in ((-0.2, BLUE, "kernel"), (0.2, ORANGE, "neuron")):
        label = f"{kind} memory"
        heights = [
            100 * getattr(used[core], f"{kind}_used") / getattr(used[core], f"{kind}_available")
            if core in used
            else 0.0
            for core in range(cores)
        ]
        axes.bar(at + offset, heights, width=0.38, color=color, label=label)
    labels = [
        f"{core}\n{short_label(used[core].name, 8)}" if core in used else f"{core}\nfree"
        for core in range(cores)
    ]
    axes.set_xticks(at, labels, fontsize=9)
    axes.set_ylim(0, 100)
    axes.set_ylabel("memory used, %")
    axes.legend(frameon=False)


Draw = Callable[[Axes], None]

FIGURES: Mapping[str, tuple[str, Callable[[Axes, Summary], None]]] = {
    "levels": ("Accuracy at every level, from the trained network to the chip twin", draw_levels),
    "synops": ("Where the synaptic operations go", draw_synops),
    "memory": ("What each core of the chip holds", draw_memory),
}


def draw_front(axes: Axes, front: Sequence[FrontRow]) -> None:
    """Accuracy against SynOps, simulated; the chosen point is ringed."""
    synops = [row.synops / 1e6 for row in front]
    shares = [100 * row.accuracy for row in front]
    errors = [100 * row.standard_error for row in front]
    axes.errorbar(synops, shares, yerr=errors, fmt="o-", capsize=3, color=BLUE)
    for row in front:
        if row.chosen:
            axes.plot(row.synops / 1e6, 100 * row.accuracy, "o", ms=14, mfc="none", mec=ORANGE)
    axes.set_xlabel("SynOps a recording, millions (simulated)")
    axes.set_ylabel("accuracy, %")


def page_figures(summary: Summary, front: Sequence[FrontRow]) -> dict[str, tuple[str, Draw]]:
    """By name the caption of every figure there is something for, and what draws it."""
    found: dict[str, tuple[str, Draw]] = {}
    measured = {"levels", "synops"}
    for name, (caption, draw) in FIGURES.items():
        if summary.levels or name not in measured:
            found[name] = caption, lambda axes, draw=draw: draw(axes, summary)  # type: ignore[misc]
    if front:
        found["front"] = (
            "Accuracy against SynOps, the chosen point ringed",
            lambda axes: draw_front(axes, front),
        )
    if summary.details is not None:
        found |= detail_figures(summary.details)
    return found


def inline_figures(figures: Mapping[str, tuple[str, Draw]], rows: int) -> dict[str, str]:
    """Every figure as an SVG element for the page; heat maps are as high as `rows` layers need."""
    return {
        name: inline(drawn(draw, name, "svg", rows=_rows(name, rows)), caption)
        for name, (caption, draw) in figures.items()
    }


def write_figures(
    summary: Summary, front: Sequence[FrontRow], folder: Path, *, force: bool = False
) -> None:
    """Write the page's figures as SVG and PNG; equal input gives equal SVG.

    With `force`, figures of the same names are replaced; what else the folder holds stays.

    Raises:
        OutputExistsError: `folder` exists and `force` is False.
        OutputError: they cannot be written.
    """
    refuse_existing(folder, force=force)
    rows = len(summary.layers)
    for name, (_, draw) in page_figures(summary, front).items():
        for suffix in ("svg", "png"):
            data = drawn(draw, name, suffix, rows=_rows(name, rows))
            with new_file(folder / f"{name}.{suffix}", force=force) as temporary:
                temporary.write_bytes(data)


def _rows(name: str, layers: int) -> int:
    return layers if name.startswith("sensitivity") or name == "synops" else 0
