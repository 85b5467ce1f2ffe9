"""A bar on standard error: n of N, time spent and left; nothing where it is no terminal."""

from __future__ import annotations

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn


def progress() -> Progress:
    """A bar to be entered with `with`, whose `track` goes through a sequence."""
    console = Console(stderr=True)
    columns = (*Progress.get_default_columns(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
