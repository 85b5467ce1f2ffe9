"""Figures of a deployment, as inline SVG for the page or as files."""

from __future__ import annotations

import html
import io
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from speck_adacal.bundle import new_folder
from speck_adacal.chip_description import load_chip_description
from speck_adacal.report.front_files import FrontRow
from speck_adacal.report.summary import Summary

_BLUE, _ORANGE, _GREY = "#3567b5", "#b8560f", "#626b78"
# Text as text: searchable, scalable. The page gives figures a white ground in dark mode too.
_STYLE = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def draw_levels(axes: Axes, summary: Summary) -> None:
    """Accuracy at every level, with standard errors."""
    names = [level.level for level in summary.levels]
    values = [100 * level.accuracy for level in summary.levels]
    errors = [100 * level.standard_error for level in summary.levels]
    axes.bar(names, values, yerr=errors, color=[_GREY, _BLUE, _BLUE, _ORANGE], capsize=4)
    axes.set_ylabel("accuracy, %")
    axes.set_ylim(max(0.0, min(values) - 10), 100.5)
    for position, value in enumerate(values):
        axes.annotate(
            f"{value:.1f}",
            (position, value),
            xytext=(0, -34),
            textcoords="offset points",
            ha="center",
            color="white",
            fontweight="bold",
        )


def draw_synops(axes: Axes, summary: Summary) -> None:
    """Simulated SynOps and spikes of every layer, mean per sample."""
    names = [_short(row.name) for row in summary.layers]
    at = np.arange(len(names))
    synops = [row.synops or 0.0 for row in summary.layers]
    spikes = [row.spikes or 0.0 for row in summary.layers]
    axes.barh(at - 0.2, synops, height=0.38, color=_BLUE, label="SynOps")
    axes.barh(at + 0.2, spikes, height=0.38, color=_ORANGE, label="spikes")
    axes.set_yticks(at, names)
    axes.invert_yaxis()
    axes.set_xscale("symlog", linthresh=100)
    axes.set_xlabel("per sample (simulated)")
    axes.legend(frameon=False)


def draw_memory(axes: Axes, summary: Summary) -> None:
    """Memory in use of every core of the chip, in percent of what the core has."""
    cores = len(load_chip_description(summary.chip).cores)
    used = {row.core: row for row in summary.layers}
    at = np.arange(cores)
    for offset, color, label, share in (
        (-0.2, _BLUE, "kernel memory", lambda row: row.kernel_used / row.kernel_available),
        (0.2, _ORANGE, "neuron memory", lambda row: row.neuron_used / row.neuron_available),
    ):
        heights = [100 * share(used[core]) if core in used else 0.0 for core in range(cores)]
        axes.bar(at + offset, heights, width=0.38, color=color, label=label)
    labels = [
        f"{core}\n{_short(used[core].name, 8)}" if core in used else f"{core}\nfree"
        for core in range(cores)
    ]
    axes.set_xticks(at, labels, fontsize=9)
    axes.set_ylim(0, 100)
    axes.set_ylabel("memory used, %")
    axes.legend(frameon=False)


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
    axes.errorbar(synops, shares, yerr=errors, fmt="o-", capsize=3, color=_BLUE)
    for row in front:
        if row.chosen:
            axes.plot(row.synops / 1e6, 100 * row.accuracy, "o", ms=14, mfc="none", mec=_ORANGE)
    axes.set_xlabel("SynOps a recording, millions (simulated)")
    axes.set_ylabel("accuracy, %")


def _short(name: str, most: int = 20) -> str:
    """A label that leaves room for the axes; `$` would begin a formula."""
    text = name if len(name) <= most else name[: most - 1] + "…"
    return text.replace("$", r"\$")


def figure_svg(name: str, summary: Summary) -> str:
    """One figure of `FIGURES` as an SVG element, without the XML prologue."""
    caption, draw = FIGURES[name]
    return _inline(_drawn(lambda axes: draw(axes, summary), name, "svg"), caption)


def front_svg(front: Sequence[FrontRow]) -> str:
    """The front as an SVG element."""
    data = _drawn(lambda axes: draw_front(axes, front), "front", "svg")
    return _inline(data, "Accuracy against SynOps, the chosen point ringed")


def write_figures(
    summary: Summary, front: Sequence[FrontRow], folder: Path, *, force: bool = False
) -> None:
    """Write the page's figures as SVG and PNG; equal input gives equal SVG.

    Raises:
        OutputExistsError: `folder` exists and `force` is False.
    """
    draws: dict[str, Callable[[Axes], None]] = {
        name: lambda axes, draw=draw: draw(axes, summary)  # type: ignore[misc]
        for name, (_, draw) in FIGURES.items()
    }
    if front:
        draws["front"] = lambda axes: draw_front(axes, front)
    with new_folder(folder, force=force) as temporary:
        for name, draw in draws.items():
            for suffix in ("svg", "png"):
                (temporary / f"{name}.{suffix}").write_bytes(_drawn(draw, name, suffix))


def _drawn(draw: Callable[[Axes], None], name: str, suffix: str) -> bytes:
    # Ids are the same in every run and differ between the figures of one page.
    with mpl.rc_context({**_STYLE, "svg.hashsalt": f"speck-adacal {name}"}):
        figure = Figure(figsize=(4.8, 3.2), layout="constrained")
        draw(figure.subplots())
        buffer = io.BytesIO()
        metadata = {"Date": None} if suffix == "svg" else None
        figure.savefig(buffer, format=suffix, metadata=metadata, dpi=200)
    return buffer.getvalue()


def _inline(svg: bytes, caption: str) -> str:
    text = re.sub(r"<metadata>.*?</metadata>", "", svg.decode(), flags=re.DOTALL)
    label = html.escape(caption, quote=True)
    return text[text.index("<svg") :].replace("<svg", f'<svg role="img" aria-label="{label}"', 1)
