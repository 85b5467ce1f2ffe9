"""Shown while something long runs: a bar on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from speck_adacal.cli import common

if TYPE_CHECKING:
    from rich.progress import Progress

EVERY_S = 5.0
"""Seconds between two lines where stderr is not a terminal."""

LOADING = "loading PyTorch"
"""What is waited for first by whatever computes."""

Count = Callable[[int, int, str], None]


@contextmanager
def status(text: str, *, quiet: bool) -> Iterator[None]:
    """Show on stderr that something long runs, of which nobody knows the number of steps."""
    with counting(text, quiet=quiet):
        yield


@contextmanager
def counting(text: str, *, quiet: bool) -> Iterator[Count]:
    """Show on stderr how far something long has come, and the time left.

    Yields:
        What is told the steps done, their number (0: nobody knows it), and what the next one is.
    """
    if quiet:
        yield lambda done, total, what: None
    elif sys.stderr.isatty():
        with _bar() as bar:
            yield _counting_on(bar, text)
    else:
        with _Lines(text) as lines:
            yield lines.count


def stage(count: Count, number: int, stages: int, words: str) -> Count:
    """A part of a longer way: what counts its own steps, on the same display.

    Args:
        count: what `counting` yields.
        number, stages: which part of how many, from 1.
        words: what the part does.
    """
    heading = f"{number} of {stages}, {words}"
    count(0, 0, heading)
    return lambda done, total, what: count(done, total, f"{heading}: {what}")


def _bar() -> Progress:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=common.console(to_stderr=True),
        transient=True,
    )


def _counting_on(bar: Progress, text: str) -> Count:
    task = bar.add_task(text, total=None)
    totals = [0]

    def count(done: int, total: int, what: str) -> None:
        if total != totals[0]:  # another part: its time left has nothing to do with the last one's
            totals[0] = total
            bar.reset(task, total=total or None)
        bar.update(task, completed=done, description=f"{text}: {what}" if what else text)

    return count


class _Lines:
    """A line on stderr every few seconds, for a log or a pipe."""

    def __init__(self, text: str) -> None:
        self._text, self._what, self._done, self._total = text, "", 0, 0
        self._begun = self._part_begun = time.monotonic()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._speak, daemon=True)

    def count(self, done: int, total: int, what: str) -> None:
        if total != self._total:
            self._part_begun = time.monotonic()
        self._done, self._total, self._what = done, total, what

    def line(self) -> str:
        """What is said now: the part, n of N, the time taken and the time left."""
        now = time.monotonic()
        said = f"{self._text}: {self._what}" if self._what else self._text
        times = [f"{now - self._begun:.0f} s"]
        if self._total:
            said += f", {self._done} of {self._total}"
        if 0 < self._done < self._total:
            left = (now - self._part_begun) / self._done * (self._total - self._done)
            times.append(f"about {left:.0f} s left")
        return f"{said} ({', '.join(times)})"

    def _speak(self) -> None:
        while not self._over.wait(EVERY_S):
            sys.stderr.write(self.line() + "\n")
            sys.stderr.flush()

    def __enter__(self) -> _Lines:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()
