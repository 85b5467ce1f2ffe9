"""Tables that lose nothing on a narrow terminal: where columns do not fit, rows are stacked."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Column, Table
from rich.text import Text

_EDGES = 3  # a border and a blank on each side of a column, and one border more at the end
_INDENT = 2


class NarrowingTable(Table):
    """A rich table that never cuts a number.

    Columns take their widest content where there is room. On a narrower terminal texts are broken
    between words, and where even that is too wide, each row becomes a heading (its first cell) with
    `header value` pairs under it.
    """

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Rows, or stacked rows."""
        ranges = [_measured(column, console, options) for column in self.columns]
        edges = _EDGES * len(ranges) + 1 if self.box is not None else 2 * len(ranges)
        room = options.max_width - edges
        if not ranges or sum(one.maximum for one in ranges) <= room:
            yield from super().__rich_console__(console, options)
        elif sum(one.minimum for one in ranges) <= room:
            for column, width in zip(self.columns, _shared(ranges, room), strict=True):
                column.width, column.no_wrap = width, False
            yield from super().__rich_console__(console, options)
            for column in self.columns:
                column.width = None
        else:
            yield from self._stacked(console, options)

    def _stacked(self, console: Console, options: ConsoleOptions) -> Iterator[Text | Padding]:
        if self.title:
            yield Text(str(self.title), style="italic")
        columns = [[_plain(cell, console) for cell in column.cells] for column in self.columns]
        headers = [_plain(column.header, console) for column in self.columns]
        width = max(options.max_width - _INDENT, 1)
        for first, *others in zip(*columns, strict=True):
            yield Text(f"{headers[0]} {first}".strip(), style="bold")
            pairs = [f"{h} {v}".strip() for h, v in zip(headers[1:], others, strict=True) if v]
            yield Padding(Text(_lines(pairs, width)), (0, 0, 0, _INDENT))
        if self.caption:
            yield Text(str(self.caption), style="dim italic")


def _measured(column: Column, console: Console, options: ConsoleOptions) -> Measurement:
    """The longest word, and the longest line, of a column."""
    wide = options.update(width=10_000)
    found = [
        Measurement.get(console, wide, cell) for cell in (column.header, *column.cells) if cell
    ]
    least = max((one.minimum for one in found), default=0)
    return Measurement(least, max((one.maximum for one in found), default=0))


def _shared(ranges: list[Measurement], room: int) -> list[int]:
    """Every column its longest word, and what is left to those that want more, the least wanting
    first."""
    widths = [one.minimum for one in ranges]
    left = room - sum(widths)
    wanting = sorted(range(len(ranges)), key=lambda i: ranges[i].maximum - widths[i])
    for place, i in enumerate(wanting):
        share = min(ranges[i].maximum - widths[i], left // (len(wanting) - place))
        widths[i] += share
        left -= share
    return widths


def _plain(cell: object, console: Console) -> str:
    """A cell's text, on one line."""
    if isinstance(cell, Text):
        return cell.plain
    if isinstance(cell, str):
        return " ".join(cell.split())
    with console.capture() as captured:
        console.print(cell)
    return " ".join(captured.get().split())


def _lines(pairs: list[str], width: int) -> str:
    """Pairs side by side, each on one line as long as the terminal has room."""
    lines = [""]
    for pair in pairs:
        longer = f"{lines[-1]}, {pair}" if lines[-1] else pair
        if len(longer) <= width or not lines[-1]:
            lines[-1] = longer
        else:
            lines[-1] += ","
            lines.append(pair)
    return "\n".join(lines)
