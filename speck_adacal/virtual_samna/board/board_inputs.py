"""What is written to a board, sorted into timed segments and commands, in order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from speck_adacal.virtual_samna.graph.batch import Batch, Columns, runs_by_class, to_columns

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Segment:
    """Neighbouring input events of one kind.

    Attributes:
        kind: "spike" (to a core) or "dvs" (to the sensor stage).
        columns: int64 `[n]` by field: layer, feature, y, x, timestamp; or p, y, x, timestamp.
        arrived_us: board time of arrival; no event goes out earlier.
        sensor: True for events of the (played) pixel array.
    """

    kind: Literal["spike", "dvs"]
    columns: dict[str, Ints]
    arrived_us: int
    sensor: bool = False

    def __len__(self) -> int:
        return len(self.columns["timestamp"])

    def part(self, start: int, stop: int | None = None) -> Segment:
        """Events `start` to `stop`."""
        cut = {name: values[start:stop] for name, values in self.columns.items()}
        return Segment(self.kind, cut, self.arrived_us, self.sensor)


@dataclass(frozen=True, eq=False)
class Command:
    """An input event without a time stamp: it goes out when it reaches the head of the queue.

    Attributes:
        event: the event.
        arrived_us: board time of arrival.
    """

    event: Any
    arrived_us: int


_KINDS: dict[str, Literal["spike", "dvs"]] = {"Spike": "spike", "DvsEvent": "dvs"}


def sort_input(batch: Batch, arrived_us: int) -> Iterator[Segment | Command]:
    """The segments and commands of a batch, in order."""
    if isinstance(batch, Columns):
        yield _segment(batch.event_class, batch.fields, arrived_us)
        return
    for cls, events in runs_by_class(batch):
        if cls.__name__ not in _KINDS:
            yield from (Command(event, arrived_us) for event in events)
            continue
        yield _segment(cls, to_columns(events, cls).fields, arrived_us)


def _segment(cls: Any, fields: tuple[npt.NDArray[Any], ...], arrived_us: int) -> Segment:
    columns = {
        name: np.ascontiguousarray(values, dtype=np.int64)
        for name, values in zip(cls.FIELDS, fields, strict=True)
    }
    return Segment(_KINDS[cls.__name__], columns, arrived_us)
