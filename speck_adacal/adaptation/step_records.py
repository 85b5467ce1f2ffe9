"""What a step of the recipe found and how long it took."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from speck_adacal.recipe.recipe import StepRecord


@contextmanager
def recorded(records: list[StepRecord], name: str) -> Iterator[dict[str, float]]:
    """Append the record of a step that ends without an error.

    Args:
        records: where it goes.
        name: of the step.

    Yields:
        where the step writes its figures.
    """
    values: dict[str, float] = {}
    started = time.perf_counter()
    yield values
    records.append(StepRecord(name, time.perf_counter() - started, values))
