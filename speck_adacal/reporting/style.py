"""How figures look: colours, labels, and SVG that takes a page's light or dark colours."""

from __future__ import annotations

import html
import io
import re
from collections.abc import Callable

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

BLUE, ORANGE, GREY = "#3567b5", "#b8560f", "#626b78"
# Text as text: searchable and scalable.
_STYLE = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
# The page's own colours, which change with its scheme.
_THEME = {
    BLUE: "var(--kernel)",
    ORANGE: "var(--neuron)",
    GREY: "var(--soft)",
    "#000000": "currentColor",
}
_GROUND = r'<g id="patch_[12]">\s*<path [^>]*?style="fill: #ffffff[^>]*?/>\s*</g>'
_ROW_INCHES = 0.28
_WIDE, _HALF = 9.6, 4.8  # inches, for a figure that has the page to itself, and for two abreast


def short_label(name: str, most: int = 20) -> str:
    """A label that leaves room for the axes; `$` would begin a formula."""
    text = name if len(name) <= most else name[: most - 1] + "…"
    return text.replace("$", r"\$")


def drawn(draw: Callable[[Axes], None], name: str, suffix: str, *, rows: int = 0) -> bytes:
    """A figure as the bytes of a file; equal input gives equal SVG.

    Args:
        draw: draws on the axes.
        name: of the figure; ids differ between the figures of one page.
        suffix: `"svg"` or `"png"`.
        rows: of a table-like figure, which makes it as high as they need.
    """
    with mpl.rc_context({**_STYLE, "svg.hashsalt": f"speck-adacal {name}"}):
        height = max(3.2, 1.0 + _ROW_INCHES * rows)
        figure = Figure(
            figsize=(_HALF if name.startswith("sensitivity") else _WIDE, height),
            layout="constrained",
        )
        draw(figure.subplots())
        buffer = io.BytesIO()
        metadata = {"Date": None} if suffix == "svg" else None
        figure.savefig(buffer, format=suffix, metadata=metadata, dpi=200)
    return buffer.getvalue()


def inline(svg: bytes, caption: str) -> str:
    """An SVG element for a page, without prologue and ground, in the page's colours; the page's
    style sheet colours its text."""
    text = re.sub(r"<metadata>.*?</metadata>", "", svg.decode(), flags=re.DOTALL)
    text = re.sub(_GROUND, "", text)
    for fixed, themed in _THEME.items():
        text = text.replace(f": {fixed}", f": {themed}")
    label = html.escape(caption, quote=True)
    return text[text.index("<svg") :].replace("<svg", f'<svg role="img" aria-label="{label}"', 1)
