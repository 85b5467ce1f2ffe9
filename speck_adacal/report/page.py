"""The report as one self-contained HTML page: no network, no script, light and dark."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined

from speck_adacal import __version__
from speck_adacal.report.figures import FIGURES, figure_svg
from speck_adacal.report.summary import Summary, accuracy_of


def render_page(summary: Summary) -> str:
    """The page as text, figures inline."""
    environment = Environment(
        loader=PackageLoader("speck_adacal.report"), autoescape=True, undefined=StrictUndefined
    )
    return environment.get_template("report.html.j2").render(
        s=summary,
        ann=accuracy_of(summary.levels, "ann"),
        event=accuracy_of(summary.levels, "event"),
        figures={name: figure_svg(name, summary) for name in FIGURES},
        captions={name: caption for name, (caption, _) in FIGURES.items()},
        version=__version__,
        pct=lambda share: f"{100 * share:.2f} %",
        num=lambda value: f"{value:,.0f}",
    )
