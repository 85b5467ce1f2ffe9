"""Prophesee's recordings: `.dat`, and `.raw` in the encodings EVT 2.0 and EVT 3.0.

The package expelliarmus decodes the events. What it does not look at is checked here before and
after: the header, words of no known kind, a last word that is cut off, counters that wrap around.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from speck_adacal.errors import DataError
from speck_adacal.events.field_arrays import Fields, Shape, unwrapped

Ints = npt.NDArray[np.int64]

_LONGEST_HEADER_BYTES = 1 << 20
_LARGEST_SIDE = 1 << 14
_DAT_BITS, _EVT2_BITS = 32, 34
_EVT3_HIGH_BITS = 12
_TRIGGER = 0xA
_HEADER_BYTE = b"%"


@dataclass(frozen=True)
class _Encoding:
    """Of `.raw` files: the words and their kinds, which the highest 4 bits tell.

    Attributes:
        name: what the package calls it.
        word: type of a word.
        kinds: those that the encoding has.
        idle: a word that holds nothing.
    """

    name: str
    word: str
    kinds: tuple[int, ...]
    idle: int

    @property
    def shift(self) -> int:
        return 8 * np.dtype(self.word).itemsize - 4


_EVT2 = _Encoding("evt2", "<u4", (0x0, 0x1, 0x8, 0xA, 0xE, 0xF), 0xE0000000)
_EVT3 = _Encoding("evt3", "<u2", (0x0, 0x2, 0x3, 0x4, 0x5, 0x6, 0x7, 0x8, 0xA, 0xE, 0xF), 0xE000)


def read_dat(path: Path) -> tuple[Fields, Shape | None]:
    """`.dat`: after the header two bytes (type, size of a record), then records of 8 bytes.

    A record is 32 bits of time (µs), then 14 bits of x, 14 of y and the polarity.

    Raises:
        DataError: the records have another size, or the last one is cut off.
    """
    lines, start = _header(path)
    size = path.stat().st_size - start
    with path.open("rb") as file:
        file.seek(start)
        kind = file.read(2)
    if len(kind) < 2 or kind[1] != 8 or kind[:1] == _HEADER_BYTE:
        raise DataError(f"{path} is no Prophesee .dat file (its records are not of 8 bytes).")
    _check_whole(path, size - 2, 8)
    if size == 2:
        raise DataError(f"{path} holds no events; record it again.")
    events = _decoded(path, "dat")
    # The package takes any step back for a wrap; a small one is damage, and stays to be found.
    t = unwrapped(events["t"] & ((1 << _DAT_BITS) - 1), 1 << _DAT_BITS)
    return (t, events["x"], events["y"], events["p"]), _shape(path, lines)


def read_raw(path: Path) -> tuple[Fields, Shape | None]:
    """`.raw`: EVT 2.0 or 3.0, as the header says. Times count from the first event.

    Raises:
        DataError: the header names neither encoding, a word is of no known kind, the last word
            is cut off, or there are no events.
    """
    lines, start = _header(path)
    encoding = _encoding(path, lines)
    _check_whole(path, path.stat().st_size - start, np.dtype(encoding.word).itemsize)
    words = np.fromfile(path, dtype=encoding.word, offset=start)
    kind = words >> encoding.shift
    _check_kinds(path, kind, encoding)
    with _unmistakable(path, lines, words, encoding) as sound:
        events = _decoded(sound, encoding.name) if _any_events(words, kind, encoding) else None
    if events is None:
        raise DataError(f"{path} holds no events; record it again.")
    if encoding is _EVT2:
        keep, t = _evt2_times(kind, events["t"])
    else:
        keep, t = _evt3_times(words, kind)
    if len(t) != len(events):
        raise DataError(f"{path} is damaged: {len(t)} times for {len(events)} events.")
    events, t = events[keep], t[keep]
    if len(t) == 0:
        raise DataError(f"{path} holds no events with a time; record it again.")
    return (t - t[0], events["x"], events["y"], events["p"]), _shape(path, lines)


def _decoded(path: Path, encoding: str) -> npt.NDArray[Any]:
    try:
        from expelliarmus import Wizard
    except ImportError as error:
        raise DataError(
            f"Reading {path} needs the package expelliarmus; install it with "
            "`pip install 'speck-adacal[recordings]'`."
        ) from error
    try:
        events = Wizard(encoding=encoding).read(path)
    except (RuntimeError, ValueError, TypeError, OSError) as error:
        raise DataError(f"{path} is damaged ({error}); copy it again.") from error
    if events is None:
        raise DataError(f"{path} is damaged: it cannot be decoded; copy it again.")
    found: npt.NDArray[Any] = events
    return found


@contextmanager
def _unmistakable(
    path: Path, lines: list[str], words: npt.NDArray[Any], encoding: _Encoding
) -> Iterator[Path]:
    """A file that the package reads as its format says.

    It takes every line that begins with `%` for the header's, also where the header has ended
    and an event's first byte happens to be that sign; and it does not know the external triggers
    of EVT 3.0. A word without an event goes before the former, and in place of the latter.
    """
    unknown = words >> encoding.shift == _TRIGGER if encoding is _EVT3 else np.zeros(1, bool)
    if words[:1].tobytes()[:1] != _HEADER_BYTE and not unknown.any():
        yield path
        return
    words = np.where(unknown, np.array(encoding.idle, dtype=encoding.word), words)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "events.raw"
        idle = np.array([encoding.idle], dtype=encoding.word).tobytes()
        copy.write_bytes(f"% {lines[0]}\n".encode("latin-1") + idle + words.tobytes())
        yield copy


def _encoding(path: Path, lines: list[str]) -> _Encoding:
    text = " ".join(lines).lower()
    if "evt 3" in text or "evt3" in text:
        return _EVT3
    if "evt 2.0" in text or "evt2;" in text or text.endswith("evt2"):
        return _EVT2
    raise DataError(f"{path} does not say EVT 2.0 or 3.0 in its header; convert it first.")


def _any_events(words: npt.NDArray[Any], kind: npt.NDArray[Any], encoding: _Encoding) -> bool:
    if encoding is _EVT2:
        return bool(np.any(kind <= 0x1))
    return bool(_evt3_counts(words, kind).any())


def _evt2_times(kind: npt.NDArray[Any], t: Ints) -> tuple[npt.NDArray[np.bool_], Ints]:
    """Which events have a time (those after the first high part), and times counted on."""
    timed = np.cumsum(kind == 0x8)[kind <= 0x1] > 0
    return timed, unwrapped(t, 1 << _EVT2_BITS)


def _evt3_times(
    words: npt.NDArray[Any], kind: npt.NDArray[Any]
) -> tuple[npt.NDArray[np.bool_], Ints]:
    """Which events have a time and a row, and the time of every event.

    The times are not the package's: it counts each wrap of the low part on top of the high part
    that the camera sends for the same wrap, which doubles the length of a recording. A new high
    part begins at a low part of 0. Some writers leave out the high part and let the low part wrap
    instead; each such wrap counts until the next high part.
    """
    value = (words & 0xFFF).astype(np.int64)
    is_high, is_low = kind == 0x8, kind == 0x6
    high = _held(unwrapped(value[is_high], 1 << _EVT3_HIGH_BITS), is_high)
    new_high = np.diff(high, prepend=-1) != 0
    low = value[is_low]
    since_high = np.cumsum(new_high)[is_low]
    back = np.diff(low, prepend=0) < -(1 << _EVT3_HIGH_BITS - 1)
    back[1:] &= np.diff(since_high) == 0
    back[:1] = False
    wraps = np.zeros(len(words), dtype=np.int64)
    wraps[is_low] = back
    wraps = np.cumsum(wraps)
    wraps -= np.maximum(_held(wraps[new_high], new_high), 0)
    parts = np.where(is_low, value, 0)[is_low | new_high]
    time = (high + wraps << _EVT3_HIGH_BITS) + np.maximum(_held(parts, is_low | new_high), 0)
    known = (high >= 0) & (np.cumsum(kind == 0x0) > 0)
    counts = _evt3_counts(words, kind)
    return np.repeat(known, counts), np.repeat(time, counts)


def _evt3_counts(words: npt.NDArray[Any], kind: npt.NDArray[Any]) -> Ints:
    """How many events each word holds: one, or as many as a vector has bits set."""
    counts: Ints = (kind == 0x2).astype(np.int64)
    for vector, bits in ((0x4, 12), (0x5, 8)):
        at = np.flatnonzero(kind == vector)
        for bit in range(bits):
            counts[at] += words[at] >> bit & 1
    return counts


def _held(values: Ints, sets: npt.NDArray[np.bool_]) -> Ints:
    """At each word, the last of `values` that was set there or before; -1 before the first."""
    number = np.cumsum(sets) - 1
    return np.where(number >= 0, values[np.maximum(number, 0)], -1) if len(values) else number


def _check_kinds(path: Path, kind: npt.NDArray[Any], encoding: _Encoding) -> None:
    wrong = np.flatnonzero(~np.isin(kind, encoding.kinds))
    if len(wrong):
        raise DataError(
            f"{path} is damaged: word {wrong[0]} is of the unknown kind {kind[wrong[0]]:#x}; "
            "copy it again."
        )


def _check_whole(path: Path, count: int, record: int) -> None:
    if count % record:
        raise DataError(f"{path} ends inside a record; it is cut off, copy it again.")


def _header(path: Path) -> tuple[list[str], int]:
    """The header's lines, and where the data begin."""
    try:
        with path.open("rb") as file:
            data = file.read(_LONGEST_HEADER_BYTES)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error}).") from error
    lines, start = [], 0
    while data[start : start + 1] == _HEADER_BYTE:
        end = data.find(b"\n", start)
        if end < 0:
            raise DataError(f"{path} ends inside its header; it is cut off, copy it again.")
        lines.append(data[start:end].decode("latin-1").strip("% \r"))
        start = end + 1
        if lines[-1].lower() == "end":
            break
    return lines, start


def _shape(path: Path, lines: list[str]) -> Shape | None:
    """The sensor's size as the header says it: `Height` and `Width`, `geometry WxH`, or within
    `format`."""
    words: dict[str, str] = {}
    for line in lines:
        key, _, value = line.partition(" ")
        words[key.lower()] = value.strip()
    for part in words.get("format", "").split(";"):
        key, _, value = part.partition("=")
        words.setdefault(key.strip().lower(), value.strip())
    width, height = words.get("width", ""), words.get("height", "")
    if not (width and height):
        width, _, height = words.get("geometry", "").lower().partition("x")
    if not (width or height):
        return None
    sound = all(n.isascii() and n.isdigit() and len(n) < 6 for n in (width, height))
    if not sound or not all(1 <= int(n) <= _LARGEST_SIDE for n in (width, height)):
        raise DataError(
            f"The header of {path} gives the sensor the size {width[:20]!r} × {height[:20]!r}, "
            f"allowed are 1 to {_LARGEST_SIDE}; it is damaged, copy it again."
        )
    return (2, int(height), int(width))
