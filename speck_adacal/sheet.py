"""What results say of themselves: in plain text, and as HTML in a notebook."""

from __future__ import annotations

import html
from abc import ABC, abstractmethod
from dataclasses import dataclass

_CELL = "text-align:{};padding:2px 10px;border-bottom:1px solid rgba(128,128,128,.35)"


@dataclass(frozen=True)
class Sheet:
    """A title, a table and some lines.

    Attributes:
        title: one line.
        header: of the columns; the first holds words, the others numbers.
        rows: as many cells each as the header.
        notes: lines below.
    """

    title: str
    header: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    notes: tuple[str, ...] = ()

    def text(self) -> str:
        """Plain text with aligned columns."""
        table = [self.header, *self.rows]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = [
            "  ".join(
                cell.rjust(width) if place else cell.ljust(width)
                for place, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in table
            if row
        ]
        return "\n".join([self.title, *lines, *self.notes])

    def html(self) -> str:
        """A table that takes a notebook's own colours, light or dark; no scripts."""

        def row(cells: tuple[str, ...], tag: str) -> str:
            sides = ["left", *["right"] * (len(cells) - 1)]
            pairs = zip(cells, sides, strict=True)
            inside = (
                f'<{tag} style="{_CELL.format(side)}">{html.escape(cell)}</{tag}>'
                for cell, side in pairs
            )
            return f"<tr>{''.join(inside)}</tr>"

        body = "".join(row(cells, "td") for cells in self.rows)
        head = f"<thead>{row(self.header, 'th')}</thead>" if self.header else ""
        notes = "".join(f'<div style="opacity:.8">{html.escape(note)}</div>' for note in self.notes)
        return (
            f"<div><strong>{html.escape(self.title)}</strong>"
            f'<table style="border-collapse:collapse;margin:4px 0">{head}<tbody>{body}</tbody>'
            f"</table>{notes}</div>"
        )


class Summarised(ABC):
    """A result with a `summary()`, which notebooks show as a table."""

    @abstractmethod
    def _sheet(self) -> Sheet:
        """What it says of itself."""

    def summary(self) -> str:
        """The result in plain text: a table and what matters beside it."""
        return self._sheet().text()

    def _repr_html_(self) -> str:
        return self._sheet().html()
