"""Progress bars on standard error; silent where it is not a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

T = TypeVar("T")


def track(items: Sequence[T], label: str, *, show: bool = True) -> Iterable[T]:
    """`items`, with a bar named `label` while they are gone through."""
    if not show or not sys.stderr.isatty():
        return items
    return _with_bar(items, label)


def _with_bar(items: Sequence[T], label: str) -> Iterator[T]:
    columns = (SpinnerColumn(), *Progress.get_default_columns(), TimeElapsedColumn())
    text = TextColumn("{task.completed}/{task.total}")
    with Progress(*columns, text, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=len(items))
        for item in items:
            yield item
            bar.advance(task)
