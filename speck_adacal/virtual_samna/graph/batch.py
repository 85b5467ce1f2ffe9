"""Events in bulk: columns of numbers that become Python objects only when someone looks."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, eq=False)
class Columns:
    """Many events of one class, field by field.

    Attributes:
        event_class: class of every event.
        fields: arrays `[n]`, one for each field of the class, in its field order.
    """

    event_class: Any
    fields: tuple[npt.NDArray[Any], ...]

    def __len__(self) -> int:
        return len(self.fields[0]) if self.fields else 0

    def column(self, name: str) -> npt.NDArray[Any]:
        """The array of one field."""
        index: int = self.event_class.FIELDS.index(name)
        return self.fields[index]

    def select(self, mask: npt.NDArray[np.bool_]) -> Columns:
        """The events where `mask` is true."""
        return Columns(self.event_class, tuple(f[mask] for f in self.fields))

    def objects(self) -> list[Any]:
        """The events as Python objects."""
        events: list[Any] = self.event_class.unchecked([f.tolist() for f in self.fields])
        return events


Batch = Columns | list[Any]
"""What travels along an edge: columns, or a plain list of event objects of any classes."""


def as_list(batch: Batch) -> list[Any]:
    """The events of a batch as a list of objects."""
    return batch.objects() if isinstance(batch, Columns) else batch


def to_columns(events: Sequence[Any], event_class: Any) -> Columns:
    """Columns of a list of events that are all of `event_class`."""
    count = len(events)
    fields = tuple(
        np.fromiter(
            map(operator.attrgetter(name), events),
            dtype=np.float32 if name == "weight" else np.int64,
            count=count,
        )
        for name in event_class.FIELDS
    )
    return Columns(event_class, fields)


def runs_by_class(events: Sequence[Any]) -> Iterator[tuple[Any, list[Any]]]:
    """Neighbouring events of one class together, in order: (class, events)."""
    for cls, run in groupby(events, key=type):
        yield cls, list(run)
