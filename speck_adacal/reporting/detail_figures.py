"""Figures of what the report measures on a part of the samples; each draws one `Details`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from matplotlib.axes import Axes

from speck_adacal.reporting.details import Details, HeatMap
from speck_adacal.reporting.style import BLUE, GREY, ORANGE, short_label

_LINES = (BLUE, ORANGE, GREY)
_DASHES = ("-", "--", ":")


def draw_load(axes: Axes, details: Details) -> None:
    """SynOps a second of every core in use through the busiest recording."""
    load = details.load
    times = np.asarray(load.start_us) / 1000
    for index, (core, rates) in enumerate(load.synops_per_s.items()):
        style = {"color": _LINES[index % 3], "linestyle": _DASHES[index // 3 % 3]}
        rate = np.asarray(rates) / 1e6
        axes.step(times, rate, where="post", label=f"core {core}", **style)
    axes.set_xlabel("time in the recording, ms")
    axes.set_ylabel("SynOps/s, millions,\nlogarithmic (simulated)")
    axes.set_yscale("symlog", linthresh=0.1)
    axes.legend(frameon=False, ncols=3, fontsize=9)


def draw_exits(axes: Axes, details: Details) -> None:
    """Accuracy, time and SynOps of early exits against the loss that they were allowed."""
    at = np.array([100 * point.allowed_loss for point in details.exits])
    full = 100 * details.exits[0].accuracy_full
    axes.axhline(full, color=GREY, linestyle=":")
    axes.annotate("accuracy, read to the end", (0, full), xytext=(0, 3), color=GREY, fontsize=9,
                  textcoords="offset points")  # fmt: skip
    for values, style, label in (
        ([p.accuracy for p in details.exits], "o-", "accuracy"),
        ([p.time for p in details.exits], "s--", "time"),
        ([p.synops for p in details.exits], "^:", "SynOps, energy"),
    ):
        color = BLUE if label == "accuracy" else ORANGE
        axes.plot(at, 100 * np.asarray(values), style, color=color, label=label)
    axes.set_xlabel("accuracy the calibration may lose, points")
    axes.set_ylabel("% (of the whole recording)")
    axes.set_ylim(0, 109)
    axes.legend(frameon=False)


def draw_heat(axes: Axes, heat: HeatMap, peak: float) -> None:
    """KL above the network's own, by layer and value of φ or ρ; the darkest colour is `peak`."""
    harm = np.asarray(heat.harm)
    axes.imshow(np.sqrt(harm / peak), cmap="Blues", vmin=0, vmax=1.2, aspect="auto")
    for (row, column), value in np.ndenumerate(harm):
        color = "white" if value > 0.45 * peak else "#1b2330"
        text = _cell(value, peak)
        axes.text(column, row, text, ha="center", va="center", fontsize=8, color=color)
    axes.set_xticks(range(len(heat.values)), [f"{value:g}" for value in heat.values])
    axes.set_yticks(range(len(heat.layers)), [short_label(name, 14) for name in heat.layers])
    axes.set_xlabel(heat.knob)


def _cell(value: float, peak: float) -> str:
    """A number that fits a cell; what cannot be told from nothing beside the peak is 0."""
    return "0" if value < 5e-4 * peak else f"{value:.2g}".removeprefix("0")


def detail_figures(details: Details) -> Mapping[str, tuple[str, Callable[[Axes], None]]]:
    """By name the caption and what draws it, of what was measured."""
    found: dict[str, tuple[str, Callable[[Axes], None]]] = {
        "load": (
            f"Load of each core through the busiest recording (number {details.load.recording})",
            lambda axes: draw_load(axes, details),
        )
    }
    if details.exits:
        found["exits"] = (
            "Early exit: accuracy, time and SynOps against the allowed loss",
            lambda axes: draw_exits(axes, details),
        )
    peak = max((float(np.max(heat.harm)) for heat in details.heat_maps), default=0.0) or 1.0
    for heat in details.heat_maps:
        name = {"φ": "phi", "ρ": "rho"}[heat.knob]
        found[f"sensitivity_{name}"] = (
            f"Sensitivity of each layer over {heat.knob}: KL in nats above the network's own; "
            "one colour scale for φ and ρ",
            lambda axes, heat=heat: draw_heat(axes, heat, peak),  # type: ignore[misc]
        )
    return found
