"""How far something long has come."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[int, int, str], None]
"""Called with the steps done, their number, and what the next one is."""


class Counter:
    """Counts steps of which the number is known before.

    Args:
        total: number of steps.
        progress: told of each; None tells nobody.
    """

    def __init__(self, total: int, progress: Progress | None) -> None:
        self._done, self._total, self._progress = 0, total, progress

    def begin(self, what: str) -> None:
        """The next step begins."""
        if self._progress is not None:
            self._progress(min(self._done, self._total), self._total, what)
        self._done += 1
