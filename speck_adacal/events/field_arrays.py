"""From arrays of times, coordinates and polarities to checked `Events`: one way in for files."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from speck_adacal.errors import DataError, EventError
from speck_adacal.events.types import Events

Array = npt.NDArray[Any]
Fields = tuple[Array, Array, Array, Array]  # t, x, y, polarity
Shape = tuple[int, int, int]

NAMES = ("t", "x", "y", "p")
_LARGEST_SIDE = 1 << 15


def make_events(source: str | Path, values: Fields, shape: Shape | None) -> Events:
    """Checked events of one recording.

    Times of unsigned 32 bits may wrap around once and again; they go on instead.

    Args:
        source: the file, for messages.
        values: one-dimensional, of one length; whole numbers, also as floats.
        shape: `(channels, height, width)`; just large enough where it is None.

    Raises:
        DataError: there are none, or they break a rule of `Events`; the message begins with
            `source`.
    """
    t, x, y, p = (np.asarray(v) for v in values)
    if t.ndim == 1 and len(t) == 0:
        raise DataError(f"{source} holds no events; record it again.")
    if t.dtype == np.uint32 and t.ndim == 1:
        t = unwrapped(t, 1 << 32)
    try:
        return Events(t, x, y, p, shape or _just_large_enough(p, y, x))
    except EventError as error:
        raise DataError(f"{source}: {error}") from error


def unwrapped(times: Array, period: int) -> npt.NDArray[np.int64]:
    """Times of a counter that starts again at `period`, counted on.

    A step back by more than half the period is a wrap; a smaller one stays, for the check.
    """
    values = times.astype(np.int64)
    wraps = np.cumsum(np.diff(values, prepend=values[:1]) < -(period // 2))
    return values + wraps * period


def structured_fields(array: Array, source: str | Path) -> dict[str, Array]:
    """The fields of a structured array, as event libraries save it.

    Raises:
        DataError: it lacks one of t, x, y, p.
    """
    names = array.dtype.names or ()
    if not set(NAMES) <= set(names):
        raise DataError(
            f"{source} is a structured array of {', '.join(names)}; a recording needs the fields "
            "t (µs), x, y and p, so rename them."
        )
    return {name: array[name].reshape(-1) for name in NAMES}


def split_recordings(arrays: Mapping[str, Array], source: str | Path) -> list[Events]:
    """The recordings of a file: `t`, `x`, `y`, `p` of all events on end, `offsets` `[n + 1]`
    where there are several, and `sensor_size` (width, height, channels) where it is known.

    Raises:
        DataError: naming the recording and the event that is wrong.
    """
    lengths = {name: np.asarray(arrays[name]).shape for name in NAMES}
    if len(set(lengths.values())) != 1 or len(lengths["t"]) != 1:
        raise DataError(f"{source} needs t, x, y and p of the same length, found {lengths}.")
    shape = _sensor_shape(arrays, source)
    count = lengths["t"][0]
    offsets = _offsets(arrays, count, source)
    fields = [arrays[name] for name in NAMES]
    if shape is None and count:
        shape = _just_large_enough(*(arrays[name] for name in ("p", "y", "x")))
    found = []
    for number, (start, stop) in enumerate(pairwise(offsets)):
        of = f"{source}, recording {number}" if len(offsets) > 2 else source
        t, x, y, p = (values[start:stop] for values in fields)
        found.append(make_events(of, (t, x, y, p), shape))
    return found


def _offsets(arrays: Mapping[str, Array], count: int, source: str | Path) -> list[int]:
    if "offsets" not in arrays:
        return [0, count]
    given = np.asarray(arrays["offsets"])
    sound = given.ndim == 1 and given.dtype.kind in "iu" and len(given) > 0
    if sound:
        numbers = given.astype(np.int64)
        sound = numbers[0] == 0 and numbers[-1] == count and not np.any(np.diff(numbers) < 0)
    if not sound:
        raise DataError(
            f"The offsets in {source} must be whole numbers that rise from 0 to the number of "
            f"events, {count}; they say where each recording begins and the last one ends."
        )
    return [int(n) for n in numbers]


def _sensor_shape(arrays: Mapping[str, Array], source: str | Path) -> Shape | None:
    if "sensor_size" not in arrays:
        return None
    size = np.asarray(arrays["sensor_size"])
    if size.shape != (3,) or size.dtype.kind not in "iu" or size.min() < 1:
        raise DataError(
            f"The sensor_size in {source} is {size.tolist()!r:.60}, needed are three whole "
            "numbers: width, height, channels."
        )
    return (int(size[2]), int(size[1]), int(size[0]))


def _just_large_enough(p: Array, y: Array, x: Array) -> Shape:
    """The smallest shape that holds the events; what is no coordinate at all is left to the
    check of the events, which names it."""
    channels, height, width = (_largest(values) + 1 for values in (p, y, x))
    return (max(2, channels), height, width)


def _largest(values: Array) -> int:
    if values.dtype.kind not in "iubf" or len(values) == 0:
        return 0
    top = values.max()
    return int(min(max(top, 0), _LARGEST_SIDE - 2)) if np.isfinite(top) else 0
