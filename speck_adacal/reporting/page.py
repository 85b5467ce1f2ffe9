"""The report as one self-contained HTML page: no network, light and dark."""

from __future__ import annotations

from collections.abc import Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined

from speck_adacal import __version__
from speck_adacal.bundle import Manifest
from speck_adacal.reporting.core_map import core_map
from speck_adacal.reporting.figures import inline_figures, page_figures
from speck_adacal.reporting.front_files import FrontRow
from speck_adacal.reporting.next_steps import next_steps_of, saving_exit
from speck_adacal.reporting.summary import Summary, accuracy_of


def render_page(
    summary: Summary, *, front: Sequence[FrontRow] = (), manifest: Manifest | None = None
) -> str:
    """The page as text, figures inline.

    Args:
        summary: what was measured.
        front: the front that the network was chosen from, if the bundle holds one.
        manifest: of the bundle; None where the page becomes part of it.
    """
    environment = Environment(
        loader=PackageLoader("speck_adacal.reporting"), autoescape=True, undefined=StrictUndefined
    )
    figures = page_figures(summary, front)
    measured = bool(summary.levels)
    return environment.get_template("report.html.j2").render(
        s=summary,
        d=summary.details,
        ann=accuracy_of(summary.levels, "ann") if measured else None,
        event=accuracy_of(summary.levels, "event") if measured else None,
        contents=_contents(summary),
        steps=next_steps_of(summary, has_front=bool(front)),
        exit_saves=saving_exit(summary) is not None,
        mistakes=() if summary.decisions is None else summary.decisions.mistakes(),
        cores=core_map(summary.chip, summary.layers),
        front=front,
        manifest=manifest,
        figures=inline_figures(figures, len(summary.layers)),
        captions={name: caption for name, (caption, _) in figures.items()},
        version=__version__,
        pct=lambda share: f"{100 * share:.2f} %",
        num=lambda value: f"{value:,.0f}",
    )


def _contents(summary: Summary) -> list[tuple[str, str]]:
    """Place and name of every part of the page, in order."""
    return [
        ("next", "Next"),
        ("accuracy", "Accuracy"),
        *([("classes", "Classes")] if summary.decisions is not None else []),
        ("layers", "Layers"),
        ("cores", "Cores"),
        ("front", "Front"),
        ("error", "Error"),
        ("sensitivity", "Sensitivity"),
        ("exit", "Early exit"),
        ("load", "Load"),
        ("quantisation", "8 bits"),
        ("energy", "Energy"),
        ("origin", "Origin"),
    ]
