"""From any Tonic data set to `Events`; those that have a card are in `tonic_sets`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from speck_adacal.errors import DataError
from speck_adacal.events.field_arrays import make_events
from speck_adacal.events.types import Events


class TonicRecordings(Sequence[tuple[Events, Any]]):
    """Any Tonic data set (without transforms) as a sequence of `(Events, target)`.

    Args:
        dataset: its items are `(structured array with t, x, y, p, target)`.
        shape: `(channels, height, width)`; by default from the set's `sensor_size`, or just
            large enough where it has none.
    """

    def __init__(self, dataset: Any, shape: tuple[int, int, int] | None = None) -> None:
        self.dataset = dataset
        size = getattr(dataset, "sensor_size", None)
        self.shape = shape or ((int(size[2]), int(size[1]), int(size[0])) if size else None)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[k] for k in range(*index.indices(len(self)))]
        events, target = self.dataset[index]
        where = f"item {index} of {type(self.dataset).__name__}"
        names = getattr(getattr(events, "dtype", None), "names", None) or ()
        if not {"t", "x", "y", "p"} <= set(names):
            raise DataError(
                f"{where} is no array with the fields t, x, y, p (found {names}); open the data "
                "set without transforms."
            )
        fields = tuple(np.asarray(events[n]) for n in "txyp")
        return make_events(where, fields, self.shape), target  # type: ignore[arg-type]
