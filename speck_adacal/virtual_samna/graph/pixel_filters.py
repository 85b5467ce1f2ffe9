"""Filters of events that have a pixel: crop, decimate, rescale, switch, and two against noise.

Names, `set_decimation_fraction` and `set_rescaling_coefficients` follow sinabs' page on its
visualizer, `set_roi` a public program. What the vendor does not publish is chosen here and listed
among the assumptions of `docs/virtual-samna.md`.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
import numpy.typing as npt

from speck_adacal.virtual_samna.events import Event, event_class
from speck_adacal.virtual_samna.fields import Bool, FieldValueError, Int, as_int
from speck_adacal.virtual_samna.graph.batch import Batch, Columns, as_list
from speck_adacal.virtual_samna.graph.nodes import Node

Ints = npt.NDArray[np.int64]
NOISE_WINDOW_US = 10_000
HOT_WINDOW_US = 1_000_000
HOT_EVENTS = 1_000

CameraDvsEvent = event_class(
    "DvsEvent",
    {"p": Bool(), "y": Int("uint16"), "x": Int("uint16"), "timestamp": Int("uint32")},
    "samna.camera.event",
    "camera::event::DvsEvent",
)
"""A camera's event: as a chip's, on up to 65536 x 65536 pixels; times in µs."""


class PixelNode(Node):
    """Splits a batch into what has a pixel, for `arrays`, and the rest, which is left out."""

    def process(self, batch: Batch) -> list[Batch]:
        """The events that pass, in order, as new objects where their pixel moves."""
        if isinstance(batch, Columns):
            if not {"x", "y"} <= set(batch.event_class.FIELDS):
                return []
            kept, x, y = self.arrays(*(batch.column(n).astype(np.int64) for n in ("x", "y")))
            moved = {"x": x, "y": y}
            fields = zip(batch.event_class.FIELDS, batch.fields, strict=True)
            chosen = Columns(batch.event_class, tuple(moved.get(n, f)[kept] for n, f in fields))
            return [chosen] if len(chosen) else []
        events = [e for e in batch if hasattr(e, "x") and hasattr(e, "y")]
        kept, x, y = self.arrays(
            np.array([e.x for e in events], dtype=np.int64),
            np.array([e.y for e in events], dtype=np.int64),
        )
        moved_events = [_at(events[i], int(x[i]), int(y[i])) for i in np.flatnonzero(kept)]
        return [moved_events] if moved_events else []

    def arrays(self, x: Ints, y: Ints) -> tuple[npt.NDArray[np.bool_], Ints, Ints]:
        """Which of the events pass, and their new pixels; all arrays are `[n]`."""
        raise NotImplementedError


class EventCropNode(PixelNode):
    """Passes events inside a region, whose first corner becomes pixel (0, 0); all until set."""

    def __init__(self) -> None:
        super().__init__()
        self._region: tuple[int, int, int, int] | None = None

    def set_roi(self, x0: int, y0: int, x1: int, y1: int) -> None:
        """Set the region: columns x0 to x1 - 1 and rows y0 to y1 - 1.

        Raises:
            FieldValueError: the region is empty or begins below 0.
        """
        region = tuple(as_int("set_roi", value) for value in (x0, y0, x1, y1))
        if not (0 <= region[0] < region[2] and 0 <= region[1] < region[3]):
            raise FieldValueError(
                f"set_roi takes the corners x0 < x1 and y0 < y1 from 0, found {region}."
            )
        self._region = (region[0], region[1], region[2], region[3])

    def arrays(self, x: Ints, y: Ints) -> tuple[npt.NDArray[np.bool_], Ints, Ints]:
        """Inside, and moved to the corner."""
        if self._region is None:
            return np.ones(len(x), dtype=bool), x, y
        x0, y0, x1, y1 = self._region
        return (x >= x0) & (x < x1) & (y >= y0) & (y < y1), x - x0, y - y0


class EventRescaleNode(PixelNode):
    """Divides pixels by whole numbers; by 1 until they are set."""

    def __init__(self) -> None:
        super().__init__()
        self._width, self._height = 1, 1

    def set_rescaling_coefficients(self, width_coeff: int, height_coeff: int) -> None:
        """Set what x and y are divided by.

        Raises:
            FieldValueError: one is below 1.
        """
        found = [as_int("set_rescaling_coefficients", v) for v in (width_coeff, height_coeff)]
        if min(found) < 1:
            raise FieldValueError(
                f"set_rescaling_coefficients takes numbers of at least 1, found {found}."
            )
        self._width, self._height = found

    def arrays(self, x: Ints, y: Ints) -> tuple[npt.NDArray[np.bool_], Ints, Ints]:
        """All events, with smaller pixels."""
        return np.ones(len(x), dtype=bool), x // self._width, y // self._height


class EventDecimateNode(PixelNode):
    """Leaves out the last L of every M events; none until that is set."""

    def __init__(self) -> None:
        super().__init__()
        self._of, self._out, self._seen = 1, 0, 0

    def set_decimation_fraction(self, m: int, l: int) -> None:  # noqa: E741  # the driver's name
        """Set M and L: L out of M events are eliminated.

        Raises:
            FieldValueError: L is not between 0 and M.
        """
        of, out = (as_int("set_decimation_fraction", value) for value in (m, l))
        if not 0 <= out <= of or of < 1:
            raise FieldValueError(
                "set_decimation_fraction(M, L) eliminates L out of M events and takes "
                f"0 <= L <= M, found M = {of} and L = {out}."
            )
        self._of, self._out, self._seen = of, out, 0

    def arrays(self, x: Ints, y: Ints) -> tuple[npt.NDArray[np.bool_], Ints, Ints]:
        """The first M - L of every M, counted over all batches."""
        place = (self._seen + np.arange(len(x))) % self._of
        self._seen = (self._seen + len(x)) % self._of
        return place < self._of - self._out, x, y


class EventToggleNode(Node):
    """Passes everything while it is on, which it is at first."""

    def __init__(self) -> None:
        super().__init__()
        self._on = True

    def set_enable_value(self, value: bool) -> None:
        """Switch on or off."""
        self._on = bool(Bool().coerce("set_enable_value", value))

    def process(self, batch: Batch) -> list[Batch]:
        """The batch, or nothing."""
        return [batch] if self._on else []


class BackgroundActivityNode(Node):
    """Passes an event if one of the eight pixels around its own had one just before."""

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[tuple[int, int], int] = {}

    def process(self, batch: Batch) -> list[Batch]:
        """The events with company within `NOISE_WINDOW_US`."""
        kept = [e for e in as_list(batch) if hasattr(e, "x") and self._has_company(e)]
        return [kept] if kept else []

    def _has_company(self, event: Any) -> bool:
        self._last[event.x, event.y] = event.timestamp
        around = [(event.x + dx, event.y + dy) for dx in (-1, 0, 1) for dy in (-1, 0, 1)]
        around.remove((event.x, event.y))
        last = [self._last[place] for place in around if place in self._last]
        return any(0 <= event.timestamp - t <= NOISE_WINDOW_US for t in last)


class HotPixelNode(Node):
    """Leaves out a pixel's events above `HOT_EVENTS` in `HOT_WINDOW_US`."""

    def __init__(self) -> None:
        super().__init__()
        self._times: dict[tuple[int, int], deque[int]] = {}

    def process(self, batch: Batch) -> list[Batch]:
        """The events of pixels that are not hot."""
        kept = [e for e in as_list(batch) if hasattr(e, "x") and not self._is_hot(e)]
        return [kept] if kept else []

    def _is_hot(self, event: Any) -> bool:
        times = self._times.setdefault((event.x, event.y), deque())
        if times and event.timestamp < times[-1]:  # the stop watch was reset
            times.clear()
        while times and times[0] <= event.timestamp - HOT_WINDOW_US:
            times.popleft()
        times.append(event.timestamp)
        return len(times) > HOT_EVENTS


class CameraToInputNode(Node):
    """Turns a camera's events into sensor events of a chip; those off its sensor are left out."""

    def __init__(self, chip: str) -> None:
        super().__init__()
        from speck_adacal.virtual_samna.chip import family

        self._make = family(chip).events["DvsEvent"]
        self._size = family(chip).sensor_size

    def process(self, batch: Batch) -> list[Batch]:
        """The events as the chip's `DvsEvent`."""
        made = [
            self._make(p=e.p, y=e.y, x=e.x, timestamp=e.timestamp)
            for e in as_list(batch)
            if hasattr(e, "p") and max(e.x, e.y) < self._size
        ]
        return [made] if made else []


class DvsToCameraNode(Node):
    """Turns a chip's sensor events into a camera's."""

    def process(self, batch: Batch) -> list[Batch]:
        """The events as `samna.camera.event.DvsEvent`."""
        made: list[Any] = [
            CameraDvsEvent(p=e.p, y=e.y, x=e.x, timestamp=e.timestamp)
            for e in as_list(batch)
            if hasattr(e, "p")
        ]
        return [made] if made else []


def _at(event: Event, x: int, y: int) -> Event:
    """The event itself, or a copy on another pixel."""
    if (event.x, event.y) == (x, y):
        return event
    moved = {name: getattr(event, name) for name in event.FIELDS}
    return type(event)(**{**moved, "x": x, "y": y})
